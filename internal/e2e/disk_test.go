package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a disk of its own; the test is skipped where nobody may.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Skipf("a disk of %d MiB cannot be mounted here (%v): run this test as root", mib, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill leaves no byte free; the returned function makes room again.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "somebody-else")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; {
		if _, err := f.Write(bytes.Repeat([]byte{1}, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 16
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

const diskFull = "the disk of the data directory"

// A disk that is full at the start, and one that becomes full later, are named
// in /readyz, lose nothing, and need nobody when there is room again.
func TestFullDiskIsWaitedOut(t *testing.T) {
	t.Parallel()
	disk, listen := smallDisk(t, 48), freeAddress(t)
	empty := fill(t, disk)
	p := launch(t, "ORDERBRIDGE_NATS_LISTEN="+listen, "ORDERBRIDGE_DATA_DIR="+filepath.Join(disk, "data"))
	p.complains(diskFull)
	p.complains("ORDERBRIDGE_DATA_DIR")
	empty()
	p.leads()

	js := jetStream(t, "nats://"+listen)
	e := receive(t, nil)
	subscribe(t, js, "s", recordFor(e))
	f := publishFlow(t, js, 100, 8)
	e.came(t, 100)
	for range 2 {
		empty = fill(t, disk)
		p.complains(diskFull)
		p.complains("0.0 MiB free of 48.0 MiB")
		empty()
		p.leads()
		at := e.Delivered()
		await(t, 40*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+50 })
	}
	f.arrives(t, e)
	f.check(t, e)
	p.stop()
}

// On a disk that is too small for what is reserved elsewhere, less is reserved.
func TestSmallDisk(t *testing.T) {
	t.Parallel()
	disk, listen := smallDisk(t, 200), freeAddress(t)
	p := launch(t, "ORDERBRIDGE_NATS_LISTEN="+listen, "ORDERBRIDGE_DATA_DIR="+disk)
	p.leads()
	js := jetStream(t, "nats://"+listen)
	e := receive(t, nil)
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	for name, want := range map[string]int64{"KV_owed": 170 << 20 / 8, "DEAD_LETTERS": 170 << 20 / 4, "ALERTS": 170 << 20 / 16} {
		s, err := js.Stream(within(t, 10*time.Second), name)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().Config.MaxBytes; got != want {
			t.Errorf("%s may hold %d bytes, want %d", name, got, want)
		}
	}
	p.said(time.Second, `smaller than usual, since all streams together may take only 170 MiB`)
	p.stop()
	p = launch(t, "ORDERBRIDGE_NATS_LISTEN="+listen, "ORDERBRIDGE_DATA_DIR="+disk) // they stay as they are
	p.leads()
	p.stop()
}

// A directory that nothing can be written to, and a port that is taken, are
// named with their setting.
func TestEmbeddedServerNamesItsSettings(t *testing.T) {
	t.Parallel()
	fails := func(t *testing.T, want string, env ...string) {
		t.Helper()
		p := launch(t, env...)
		if code := p.exit(20 * time.Second); code != exitFailed {
			t.Errorf("exit code %d", code)
		}
		p.said(time.Second, want)
	}
	t.Run("no directory", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "file")
		write(t, file, nil)
		fails(t, "set ORDERBRIDGE_DATA_DIR to a directory that this user may write to", "ORDERBRIDGE_NATS_LISTEN=", "ORDERBRIDGE_DATA_DIR="+filepath.Join(file, "data"))
	})
	t.Run("in use", func(t *testing.T) {
		t.Parallel()
		env := []string{"ORDERBRIDGE_NATS_LISTEN=", "ORDERBRIDGE_DATA_DIR=" + t.TempDir()}
		p := launch(t, env...)
		p.leads()
		fails(t, "set ORDERBRIDGE_DATA_DIR to another directory", env...)
	})
	t.Run("port", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		fails(t, "address already in use; set ORDERBRIDGE_NATS_LISTEN", "ORDERBRIDGE_NATS_LISTEN="+l.Addr().String(), "ORDERBRIDGE_DATA_DIR="+t.TempDir())
		fails(t, "set ORDERBRIDGE_NATS_LISTEN", "ORDERBRIDGE_NATS_LISTEN=192.0.2.1:4222", "ORDERBRIDGE_EMBEDDED_AUTH=credentials", "ORDERBRIDGE_DATA_DIR="+t.TempDir())
	})
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		disk := smallDisk(t, 64)
		remount := func(flags uintptr) {
			if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT|flags, ""); err != nil {
				t.Fatal(err)
			}
		}
		remount(unix.MS_RDONLY)
		fails(t, "read-only file system; set ORDERBRIDGE_DATA_DIR", "ORDERBRIDGE_NATS_LISTEN=", "ORDERBRIDGE_DATA_DIR="+filepath.Join(disk, "data"))
		remount(0)
	})
}

// The streams may fill their part of the disk and no more, so that what is
// there can be removed.
func TestStreamsThatTakeTheirPartOfTheDisk(t *testing.T) {
	t.Parallel()
	disk, listen := smallDisk(t, 64), freeAddress(t)
	p := launch(t, "ORDERBRIDGE_NATS_LISTEN="+listen, "ORDERBRIDGE_DATA_DIR="+disk)
	p.leads()
	js := jetStream(t, "nats://"+listen)
	e := receive(t, nil)
	subscribe(t, js, "s", recordFor(e))
	big := change("a", 1)
	big.Header, big.Data = nil, append(big.Data[:len(big.Data)-1], fmt.Sprintf(`,"note":%q}`, strings.Repeat("x", 900<<10))...)
	for n := 0; ; n++ {
		if n > 64 {
			t.Fatal("nothing was refused")
		}
		if _, err := js.PublishMsg(within(t, 5*time.Second), big); err != nil {
			break
		}
	}
	p.complains("the streams take all of the 54.4 MiB that they may take on the disk of the data directory")
	stream, err := js.Stream(within(t, 10*time.Second), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	await(t, 20*time.Second, "events are removed", func() bool { return stream.Purge(within(t, 5*time.Second)) == nil })
	p.leads()
	came := e.Count()
	publishOne(t, js, "b", 1)
	e.came(t, came+1)
	p.stop()
}
