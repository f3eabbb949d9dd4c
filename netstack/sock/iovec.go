package sock

import "io"

// Iovec is a scatter list that can stand on either side of a transfer: an
// io.Reader of its bytes for Send, an io.Writer into them for Recv. The slice
// headers are used up; the bytes are the caller's.
type Iovec struct{ V [][]byte }

// Len is the number of bytes left.
func (v *Iovec) Len() int {
	n := 0
	for _, b := range v.V {
		n += len(b)
	}
	return n
}

// Read copies the next bytes of the list into p.
func (v *Iovec) Read(p []byte) (int, error) {
	n := v.each(len(p), func(b []byte, off int) { copy(p[off:], b) })
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Write copies p into the next bytes of the list.
func (v *Iovec) Write(p []byte) (int, error) {
	n := v.each(len(p), func(b []byte, off int) { copy(b, p[off:]) })
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func (v *Iovec) each(n int, f func(b []byte, off int)) int {
	done := 0
	for done < n && len(v.V) > 0 {
		b := v.V[0]
		c := min(len(b), n-done)
		f(b[:c], done)
		done += c
		if c == len(b) {
			v.V = v.V[1:]
		} else {
			v.V[0] = b[c:]
		}
	}
	return done
}
