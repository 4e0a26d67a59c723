// Package config is the one place where a setting of the daemon is named, explained, read and checked.
//
// Each setting is a row of the table in settings.go. From that table come the flags, the EDGEMEM_*
// variables, the keys a file may hold, the defaults, the help and the checks, so that a setting cannot
// exist in one of them and be missing in another.
//
//	flags  >  EDGEMEM_* variables  >  file (yaml, toml, json)  >  defaults
//
// Load says for each value where it came from. Secrets are never flags, because every user of a machine
// may read the arguments of a process: they come from a file, a variable or the configuration file, and
// are never printed.
//
// A key that no setting has is an error which names the nearest one. A variable that no setting has is
// a warning, not an error, because platforms put variables of their own beside ours: Kubernetes sets
// EDGEMEM_SERVICE_HOST and its like for a service called edgemem, and those are passed over.
package config
