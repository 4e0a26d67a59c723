//go:build !linux

package p2p

import "errors"

const childEnv = "EDGEMEM_P2P_TEST_CHILD"

func runChild(string) error { return errors.ErrUnsupported }
