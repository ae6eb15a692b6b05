package compiler

import (
	"encoding/binary"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/seccomp"
)

// # The cache
//
// A directory of files named by Key. It decides what a container may do, so it
// is trusted only as far as nobody else can have written it: the directory is
// opened without following a link at its end and must belong to the caller and
// be closed to others, each file likewise. Whatever is wrong with it is a miss,
// and the helper is asked: the cache can be slow, never wrong.
//
// A file is written under a temporary name and renamed, without fsync: a file
// that a crash cut short has a wrong checksum and is a miss. Two runtimes that
// write the same entry write the same bytes.
//
//	offset  size  what
//	0       8     "hrCACHE\x01"
//	8       8     fold of all that follows
//	16      4     N, the length of the material
//	20      N     the material of the key
//	20+N          the helper's output
const (
	cacheMagic  = "hrCACHE\x01"
	cacheHeader = 20

	maxEntries = 64      // files kept, the newest
	maxEntry   = 4 << 20 // bytes of a file
	temporary  = ".tmp-"
)

// cache is an open cache directory; the zero value of a directory that cannot
// be used has fd -1 and never holds anything.
type cache struct{ fd int }

// openCache opens dir, and makes it and the directory above it when create is
// set.
func openCache(dir string, create bool) cache {
	if dir == "" {
		return cache{-1}
	}
	fd, err := openPrivate(dir)
	if err == unix.ENOENT && create {
		_ = unix.Mkdir(parent(dir), 0o700)
		_ = unix.Mkdir(dir, 0o700)
		fd, err = openPrivate(dir)
	}
	if err != nil {
		return cache{-1}
	}
	return cache{fd}
}

func parent(dir string) string {
	return dir[:max(strings.LastIndexByte(dir, '/'), 0)]
}

func openPrivate(dir string) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, err
	}
	if _, err := private(fd, unix.S_IFDIR); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// private gives the size of what fd refers to, which must be of the given type,
// belong to the caller and be out of reach of group and others.
func private(fd int, kind uint32) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != kind || st.Mode&0o077 != 0 || int(st.Uid) != unix.Geteuid() {
		return 0, unix.EACCES
	}
	return st.Size, nil
}

func (c cache) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
}

// get gives the filter that was kept for this material, or nil.
func (c cache) get(material []byte) *seccomp.Filter {
	if c.fd < 0 {
		return nil
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(c.fd, keyOf(material), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	size, err := private(fd, unix.S_IFREG)
	if err != nil || size > maxEntry {
		return nil
	}
	b, err := readAll(fd, make([]byte, 0, size+1))
	if err != nil {
		return nil
	}
	return decodeEntry(b, material)
}

func decodeEntry(b, material []byte) *seccomp.Filter {
	if len(b) < cacheHeader+len(material) || string(b[:8]) != cacheMagic {
		return nil
	}
	if binary.LittleEndian.Uint64(b[8:]) != fold(b[16:]) {
		return nil
	}
	if binary.LittleEndian.Uint32(b[16:]) != uint32(len(material)) || string(b[cacheHeader:cacheHeader+len(material)]) != string(material) {
		return nil
	}
	f, err := seccomp.DecodeOutput(b[cacheHeader+len(material):])
	if err != nil {
		return nil
	}
	return f
}

func encodeEntry(material, output []byte) []byte {
	b := make([]byte, 16, cacheHeader+len(material)+len(output))
	copy(b, cacheMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(material)))
	b = append(append(b, material...), output...)
	binary.LittleEndian.PutUint64(b[8:], fold(b[16:]))
	return b
}

// put keeps the helper's output. It reports nothing: a full disk makes the
// next start slower, not wrong.
func (c cache) put(material, output []byte) {
	b := encodeEntry(material, output)
	if c.fd < 0 || len(b) > maxEntry {
		return
	}
	name := temporary + strconv.Itoa(unix.Getpid())
	_ = unix.Unlinkat(c.fd, name, 0)
	if !c.write(name, b) || unix.Renameat(c.fd, name, c.fd, keyOf(material)) != nil {
		_ = unix.Unlinkat(c.fd, name, 0)
	}
	c.trim(keyOf(material))
}

func (c cache) write(name string, b []byte) bool {
	fd, err := unix.Openat(c.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	for len(b) > 0 && err == nil {
		var n int
		n, err = retry(func() (int, error) { return unix.Write(fd, b) })
		b = b[max(n, 0):]
	}
	return unix.Close(fd) == nil && err == nil
}

// trim removes the oldest entries beyond maxEntries, left-over temporary files
// among them. latest was just written; file times are too coarse to say so
// (4 ms before Linux 6.13).
func (c cache) trim(latest string) {
	type entry struct {
		name  string
		mtime int64
	}
	var entries []entry
	for _, name := range c.names() {
		var st unix.Stat_t
		if unix.Fstatat(c.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			entries = append(entries, entry{name, st.Mtim.Nano()})
		}
	}
	sort.Slice(entries, func(i, j int) bool {
		if entries[i].name == latest || entries[j].name == latest {
			return entries[i].name == latest
		}
		return entries[i].mtime > entries[j].mtime
	})
	for i := maxEntries; i < len(entries); i++ {
		_ = unix.Unlinkat(c.fd, entries[i].name, 0)
	}
}

func (c cache) names() []string {
	var names []string
	if _, err := unix.Seek(c.fd, 0, unix.SEEK_SET); err != nil {
		return nil
	}
	buf := make([]byte, 8<<10)
	for {
		n, err := unix.ReadDirent(c.fd, buf)
		if n <= 0 || err != nil {
			return names
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// readAll reads fd to its end, growing b only when the file is longer than
// b's capacity. It stops with EFBIG beyond maxEntry.
func readAll(fd int, b []byte) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := retry(func() (int, error) { return unix.Read(fd, b[len(b):cap(b)]) })
		if err != nil || n <= 0 {
			return b, err
		}
		if b = b[:len(b)+n]; len(b) > maxEntry {
			return nil, unix.EFBIG
		}
	}
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
