package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// mounted is a mount under way.
type mounted struct {
	server *fuse.Server
	dir    string
}

// ErrNoFUSE: this machine or user cannot mount one.
var ErrNoFUSE = errors.New("disk: no FUSE here: it needs /dev/fuse and root")

// cacheFor is how long the kernel may believe what it was told: nobody else changes the disk while it is mounted.
const cacheFor = time.Hour

// busyMax is how long an unmount waits for those who use the disk to end.
const busyMax = 10 * time.Second

// Mount makes the disk's files appear in dir, which must exist.
func (d *Disk) Mount(dir string) error {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%w (%w)", ErrNoFUSE, err)
	}
	forget := cacheFor
	d.mu.Lock()
	root := &inode{d: d, n: d.root}
	d.held = nil
	d.mu.Unlock()
	server, err := fs.Mount(dir, root, &fs.Options{
		EntryTimeout: &forget, AttrTimeout: &forget, NullPermissions: true,
		RootStableAttr: &fs.StableAttr{Ino: d.root.ino, Mode: syscall.S_IFDIR},
		MountOptions: fuse.MountOptions{
			DirectMountStrict: true, FsName: "edgemem-test", Name: "edgemem-test", DisableXAttrs: true, MaxWrite: 1 << 20,
			Logger: log.New(io.Discard, "", 0), // of an unmount it tells as of an error
		},
	})
	if err != nil {
		return fmt.Errorf("disk: mount %s: %w", dir, err)
	}
	d.mounted = mounted{server, dir}
	return nil
}

// Unmount waits until the kernel has written back what it still had. Whatever used the disk must have ended.
func (d *Disk) Unmount() error {
	if d.mounted.server == nil {
		return nil
	}
	// The kernel takes a moment to let go of what a process had mapped that was killed.
	deadline := time.Now().Add(busyMax)
	for err := d.mounted.server.Unmount(); err != nil; err = d.mounted.server.Unmount() {
		if time.Now().After(deadline) {
			return fmt.Errorf("disk: unmount %s: %w", d.mounted.dir, err)
		}
		time.Sleep(time.Millisecond)
	}
	d.mounted.server.Wait()
	d.mounted = mounted{}
	return nil
}

// Abandon takes the mount away though something may use it still: the end of a test that failed.
func (d *Disk) Abandon() {
	d.Release()
	if d.mounted.server != nil {
		_ = syscall.Unmount(d.mounted.dir, syscall.MNT_DETACH)
	}
}

// inode is what FUSE sees of a node.
type inode struct {
	fs.Inode
	d *Disk
	n *node
}

var (
	_ fs.NodeLookuper  = (*inode)(nil)
	_ fs.NodeGetattrer = (*inode)(nil)
	_ fs.NodeSetattrer = (*inode)(nil)
	_ fs.NodeReaddirer = (*inode)(nil)
	_ fs.NodeCreater   = (*inode)(nil)
	_ fs.NodeMkdirer   = (*inode)(nil)
	_ fs.NodeMknoder   = (*inode)(nil)
	_ fs.NodeUnlinker  = (*inode)(nil)
	_ fs.NodeRmdirer   = (*inode)(nil)
	_ fs.NodeRenamer   = (*inode)(nil)
	_ fs.NodeOpener    = (*inode)(nil)
	_ fs.NodeReader    = (*inode)(nil)
	_ fs.NodeWriter    = (*inode)(nil)
	_ fs.NodeFsyncer   = (*inode)(nil)
	_ fs.NodeStatfser  = (*inode)(nil)
)

func (i *inode) attr(out *fuse.Attr) {
	out.Ino, out.Mode, out.Nlink = i.n.ino, i.n.mode, 1
	out.SetTimes(nil, &i.n.changed, &i.n.changed)
	if f := i.n.file; f != nil {
		out.Size = uint64(f.now.size)
		out.Blocks = uint64(len(f.now.pages)) * (pageBytes / 512)
	}
}

func (i *inode) child(ctx context.Context, n *node, out *fuse.EntryOut) *fs.Inode {
	c := &inode{d: i.d, n: n}
	c.attr(&out.Attr)
	return i.NewInode(ctx, c, fs.StableAttr{Ino: n.ino, Mode: n.mode & modeKind})
}

func (i *inode) lock() *sync.Mutex {
	i.d.mu.Lock()
	return &i.d.mu
}

func (i *inode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	defer i.lock().Unlock()
	n := i.n.folder.names[name]
	if n == nil {
		return nil, syscall.ENOENT
	}
	return i.child(ctx, n, out), 0
}

func (i *inode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	defer i.lock().Unlock()
	i.attr(&out.Attr)
	return 0
}

func (i *inode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	defer i.lock().Unlock()
	if size, ok := in.GetSize(); ok {
		if i.n.file == nil {
			return syscall.EISDIR
		}
		i.n.file.truncate(int64(size))
		i.n.changed = time.Now()
	}
	if mode, ok := in.GetMode(); ok { // at once, and for ever: nothing here is about permissions
		i.n.mode = i.n.mode&modeKind | mode&^modeKind
	}
	if at, ok := in.GetMTime(); ok {
		i.n.changed = at
	}
	i.attr(&out.Attr)
	return 0
}

func (i *inode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	defer i.lock().Unlock()
	var list []fuse.DirEntry
	for _, name := range i.n.folder.sorted() {
		n := i.n.folder.names[name]
		list = append(list, fuse.DirEntry{Name: name, Ino: n.ino, Mode: n.mode})
	}
	return fs.NewListDirStream(list), 0
}

// add makes a node with a name.
func (i *inode) add(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	defer i.lock().Unlock()
	if i.n.folder.names[name] != nil {
		return nil, syscall.EEXIST
	}
	n := i.d.newNode(i.n, mode)
	i.move(move{comes: name, node: n})
	return i.child(ctx, n, out), 0
}

func (i *inode) move(m move) {
	i.n.folder.do(m)
	i.n.changed = time.Now()
}

func (i *inode) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	n, errno := i.add(ctx, name, modeFile|mode&^modeKind, out)
	return n, nil, fuse.FOPEN_KEEP_CACHE, errno
}

func (i *inode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return i.add(ctx, name, modeFolder|mode&^modeKind, out)
}

func (i *inode) Mknod(ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return i.add(ctx, name, mode, out)
}

func (i *inode) Unlink(_ context.Context, name string) syscall.Errno {
	defer i.lock().Unlock()
	if i.n.folder.names[name] == nil {
		return syscall.ENOENT
	}
	i.move(move{goes: name})
	return 0
}

func (i *inode) Rmdir(_ context.Context, name string) syscall.Errno {
	defer i.lock().Unlock()
	switch n := i.n.folder.names[name]; {
	case n == nil:
		return syscall.ENOENT
	case len(n.folder.names) > 0:
		return syscall.ENOTEMPTY
	}
	i.move(move{goes: name})
	return 0
}

func (i *inode) Rename(_ context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	defer i.lock().Unlock()
	n := i.n.folder.names[name]
	target, ok := to.(*inode)
	switch {
	case n == nil:
		return syscall.ENOENT
	case !ok || target.n != i.n:
		return syscall.EXDEV
	case flags != 0:
		return syscall.EINVAL
	}
	if old := i.n.folder.names[newName]; old != nil && old.folder != nil && len(old.folder.names) > 0 {
		return syscall.ENOTEMPTY
	}
	i.move(move{comes: newName, node: n, goes: name})
	return 0
}

func (i *inode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (i *inode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	defer i.lock().Unlock()
	return fuse.ReadResultData(dest[:i.n.file.now.read(dest, off)]), 0
}

func (i *inode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	defer i.lock().Unlock()
	i.n.file.write(data, off)
	i.n.changed = time.Now()
	return uint32(len(data)), 0
}

func (i *inode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if err := i.d.sync(i.n); err != nil {
		return syscall.EIO
	}
	return 0
}

// roomBytes is what the disk says that it has: it is memory, and never full.
const roomBytes = 16 << 30

func (i *inode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.NameLen = pageBytes, pageBytes, 255
	out.Blocks, out.Bfree, out.Bavail = 2*roomBytes/pageBytes, roomBytes/pageBytes, roomBytes/pageBytes
	return 0
}

// Dir is where the disk is mounted.
func (d *Disk) Dir() string { return filepath.Clean(d.mounted.dir) }
