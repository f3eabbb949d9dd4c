package rangemap

import (
	"math/rand"
	"testing"
)

// shade is a value that moves with the range, as a file offset does, so that the
// value of every point is base plus the point.
type shade struct{ base uint64 }

func (s shade) Advance(delta uint64) shade { return shade{s.base + delta} }
func (s shade) Continues(prev shade, prevLen uint64) bool {
	return s.base == prev.base+prevLen
}

const space = 600

// check compares m with the value of every point (0: free).
func check(t *testing.T, m *Map[shade], model *[space]uint64) {
	t.Helper()
	n := 0
	prev := uint64(0)
	seen := uint64(0)
	for c := m.First(); c.Entry() != nil; c = c.Next() {
		e := c.Entry()
		n++
		if e.Start < prev || e.End <= e.Start {
			t.Fatalf("entry [%d,%d) after %d", e.Start, e.End, prev)
		}
		for p := prev; p < e.Start; p++ {
			if model[p] != 0 {
				t.Fatalf("%d is free, want %d", p, model[p])
			}
		}
		for p := e.Start; p < e.End; p++ {
			if got := e.Value.base + p - e.Start; got != model[p] {
				t.Fatalf("%d has %d, want %d", p, got, model[p])
			}
			seen++
		}
		prev = e.End
	}
	if n != m.Len() {
		t.Fatalf("Len %d, counted %d", m.Len(), n)
	}
	for p := prev; p < space; p++ {
		if model[p] != 0 {
			t.Fatalf("%d is free, want %d", p, model[p])
		}
	}
	for p := uint64(0); p < space; p++ {
		if e := m.Find(p); (e != nil) != (model[p] != 0) || e != nil && (p < e.Start || p >= e.End) {
			t.Fatalf("Find(%d) = %v", p, e)
		}
	}
	back := 0
	for c := m.Seek(^uint64(0)).Prev(); c.Entry() != nil; c = c.Prev() {
		back++
	}
	if back != n {
		t.Fatalf("backwards %d entries, want %d", back, n)
	}
}

func free(model *[space]uint64, at, length uint64) bool {
	if at+length > space {
		return false
	}
	for p := at; p < at+length; p++ {
		if model[p] != 0 {
			return false
		}
	}
	return true
}

func TestRandomOperationsMatchAnArray(t *testing.T) {
	for seed := range int64(30) {
		rnd := rand.New(rand.NewSource(seed))
		var m Map[shade]
		var model [space]uint64
		for range 600 {
			start := uint64(rnd.Intn(space))
			end := min(start+1+uint64(rnd.Intn(12)), space)
			switch rnd.Intn(5) {
			case 0, 1:
				m.Remove(start, end)
				base := 1000 * uint64(1+rnd.Intn(2))
				if rnd.Intn(2) == 0 {
					base += start // joins with its like
				}
				m.Insert(start, end, shade{base})
				for p := start; p < end; p++ {
					model[p] = base + p - start
				}
			case 2:
				m.Remove(start, end)
				clear(model[start:end])
			case 3:
				m.Split(start)
			case 4:
				m.Join(start, end)
			}
			check(t, &m, &model)
			length, align := uint64(1+rnd.Intn(10)), uint64(1)<<rnd.Intn(3)
			lo := uint64(rnd.Intn(space / 2))
			hi := lo + uint64(rnd.Intn(space/2))
			first, last, found := uint64(0), uint64(0), false
			for p := lo; p+length <= hi; p++ {
				if p%align == 0 && free(&model, p, length) {
					if !found {
						first = p
					}
					last, found = p, true
				}
			}
			if a, ok := m.LastGap(lo, hi, length, align); ok != found || ok && a != last {
				t.Fatalf("LastGap(%d,%d,%d,%d) = %d %v, want %d %v", lo, hi, length, align, a, ok, last, found)
			}
			if a, ok := m.FirstGap(lo, hi, length, align); ok != found || ok && a != first {
				t.Fatalf("FirstGap(%d,%d,%d,%d) = %d %v, want %d %v", lo, hi, length, align, a, ok, first, found)
			}
		}
		m.Join(0, space)
		check(t, &m, &model)
		runs := 0
		for p := range model {
			if model[p] != 0 && (p == 0 || model[p] != model[p-1]+1 || model[p-1] == 0) {
				runs++
			}
		}
		if m.Len() != runs {
			t.Fatalf("%d entries after joining all, want %d", m.Len(), runs)
		}
	}
}

func BenchmarkFindAmong10000(b *testing.B) {
	var m Map[shade]
	for i := range uint64(10000) {
		m.Insert(i*4, i*4+2, shade{})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if m.Find(uint64(i*7919%10000)*4) == nil {
			b.Fatal("lost")
		}
	}
}

func BenchmarkInsertRemoveAmong10000(b *testing.B) {
	var m Map[shade]
	for i := range uint64(10000) {
		m.Insert(i*4, i*4+2, shade{})
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Insert(20003, 20004, shade{})
		m.Remove(20003, 20004)
	}
}
