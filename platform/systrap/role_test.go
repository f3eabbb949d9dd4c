//go:build amd64

package systrap

import "testing"

// A worker leaves while its role is lent and given back again and again: somebody has it then.
func TestAbdicateWhileLent(t *testing.T) {
	p := &Platform{}
	p.closing.Store(true) // who is launched ends at once
	p.workers.Add(1)
	for range 5000 {
		w, me := p.newWorker(), p.newWorker()
		p.role.Store(&w.busy)
		begun, done := make(chan struct{}), make(chan struct{})
		go func() { // as waitFor
			defer close(done)
			for i := range 2000 {
				if p.role.CompareAndSwap(&w.busy, &me.listening) {
					p.giveBack(w)
				}
				if i == 0 {
					close(begun)
				}
			}
		}()
		<-begun
		w.abdicate()
		<-done
		if p.role.Load() == &w.busy {
			t.Fatal("the role is that of a worker that has left")
		}
	}
}
