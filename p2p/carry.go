package p2p

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// carried are the files that make a node who it is. Tickets stay behind: one that was used since would work again.
var carried = []string{nodeKeyFile, authorityFile, membershipFile}

// Carried is the identity of a data directory: whoever has the files is that node.
type Carried struct {
	ID    crdt.NodeID // empty where no node was yet
	Name  string
	Files map[string][]byte // its key, its certificate and, at the node that founded the fabric, the authority's key
}

// Identity reads who the node of a data directory is. It makes nothing. Errors: ErrDamaged, ErrOtherFabric.
func Identity(dir string) (c Carried, err error) {
	c.Files = map[string][]byte{}
	for _, name := range carried {
		data, ok, err := readIfThere(filepath.Join(dir, folderName, name))
		if err != nil {
			return c, fmt.Errorf("p2p: read identity: %w", err)
		}
		if ok {
			c.Files[name] = data
		}
	}
	if len(c.Files[nodeKeyFile]) == 0 {
		return Carried{}, nil
	}
	m, err := loadMembership(filepath.Join(dir, folderName))
	if err != nil {
		return c, err
	}
	if c.ID = nodeID(m.id); m.cert != nil {
		c.Name = m.cert.Name
	}
	return c, nil
}

// PutIdentity makes the folder of an identity, durably, in a data directory that has none: of the files, or empty for a node that is
// to become one. Files that do not belong together are refused. Errors: ErrDamaged, ErrOtherFabric.
func PutIdentity(dir string, files map[string][]byte) error {
	folder := filepath.Join(dir, folderName)
	if err := os.Mkdir(folder, privateDir); err != nil {
		return fmt.Errorf("p2p: put identity: %w", err)
	}
	for name, data := range files {
		if !slices.Contains(carried, name) {
			return fmt.Errorf("%w: %q is no file of an identity", ErrDamaged, name)
		}
		if err := writeDurable(filepath.Join(folder, name), data); err != nil {
			return fmt.Errorf("p2p: put identity: %w", err)
		}
	}
	if len(files) > 0 {
		if _, err := loadMembership(folder); err != nil {
			return err
		}
	}
	return syncDir(folder)
}

// IdentityFolder is the folder of a data directory that is all this package keeps.
const IdentityFolder = folderName
