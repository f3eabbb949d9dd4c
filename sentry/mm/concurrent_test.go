package mm

import (
	"bytes"
	"math/rand"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConcurrentUse has tasks copy, fault, fork and map at the same time, each with
// memory of its own that must stay as it was left.
func TestConcurrentUse(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	var wg sync.WaitGroup
	for task := range 4 {
		own := mapAnon(t, m, 0, 32*pageSize, rw, 0)
		m.IncUsers()
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer m.DecUsers()
			rnd := rand.New(rand.NewSource(int64(task)))
			v := m.ForContext(nil)
			var model [32]byte
			var buf [100]byte
			for i := range 3000 {
				page := rnd.Intn(32)
				at := own + uint64(page)*pageSize + 17
				switch rnd.Intn(8) {
				case 0:
					length := uint64(1+rnd.Intn(8)) * pageSize
					a, err := m.Map(nil, MapOptions{Length: length, Prot: rw, Flags: unix.MAP_PRIVATE, Limits: NoLimits})
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := v.CopyOut(a, buf[:]); err != nil {
						t.Error(err)
					}
					if err := m.Unmap(nil, a, length); err != nil {
						t.Error(err)
					}
				case 1:
					if i%10 != 0 {
						continue
					}
					child, err := m.Fork(nil)
					if err != nil {
						t.Error(err)
						return
					}
					cv := child.ForContext(nil)
					if _, err := cv.CopyIn(buf[:1], at); err != nil || buf[0] != model[page] {
						t.Errorf("the child sees %d, want %d (%v)", buf[0], model[page], err)
					}
					if _, err := cv.CopyOut(at, []byte{255}); err != nil {
						t.Error(err)
					}
					child.DecUsers()
				case 2, 3, 4:
					model[page] = byte(i)
					if _, err := v.CopyOut(at, bytes.Repeat([]byte{byte(i)}, 100)); err != nil {
						t.Error(err)
					}
				case 5:
					if n, err := v.Blocks(at, 100, true, func(blocks [][]byte) (int, error) {
						for _, b := range blocks {
							for j := range b {
								b[j] = byte(i)
							}
						}
						return 100, nil
					}); n != 100 || err != nil {
						t.Error(n, err)
					}
					model[page] = byte(i)
				default:
					if _, err := v.CopyIn(buf[:], at); err != nil || buf[0] != model[page] || buf[99] != model[page] {
						t.Errorf("%d and %d, want %d (%v)", buf[0], buf[99], model[page], err)
					}
				}
			}
		}()
	}
	wg.Wait()
	checkHost(t, mf, m)
}
