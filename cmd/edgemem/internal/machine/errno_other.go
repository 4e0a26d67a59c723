//go:build !unix

package machine

func notSupported(error) bool { return false }
