package nft

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
)

// Verdicts (NF_* and NFT_*).
const (
	dropVerdict     = 0
	acceptVerdict   = 1
	continueVerdict = unix.NFT_CONTINUE
	breakVerdict    = unix.NFT_BREAK
	jumpVerdict     = unix.NFT_JUMP
	gotoVerdict     = unix.NFT_GOTO
	returnVerdict   = unix.NFT_RETURN
)

// maxJumps is how deep chains may jump to each other (NFT_JUMP_STACK_SIZE).
const maxJumps = 16

// dataSize is the size of the registers but for the verdict's.
const dataSize = 64

// registers are what expressions work on: data in the byte order that each has.
type registers struct {
	verdict int32
	chain   *chain // with jump and goto
	data    [dataSize]byte

	stack [maxJumps]frame
}

// A frame is where a chain goes on.
type frame struct {
	rules []*rule
}

var pool = sync.Pool{New: func() any { return new(registers) }}

// run evaluates a base chain.
func (b *chain) run(c *filter.Context) filter.Verdict {
	r := pool.Get().(*registers)
	v := b.evaluate(r, c)
	r.chain = nil
	pool.Put(r)
	if v == acceptVerdict {
		return filter.Accept
	}
	return filter.Drop
}

func (b *chain) evaluate(r *registers, c *filter.Context) int32 {
	rules, depth := b.current(), 0
	for {
		if len(rules) == 0 {
			if depth == 0 {
				break
			}
			depth--
			rules, r.stack[depth].rules = r.stack[depth].rules, nil
			continue
		}
		u := rules[0]
		rules = rules[1:]
		r.verdict = continueVerdict
		for i := range u.exprs {
			u.exprs[i].expr.eval(r, c)
			if r.verdict != continueVerdict {
				break
			}
		}
		switch r.verdict {
		case continueVerdict, breakVerdict:
		case jumpVerdict:
			if depth == maxJumps {
				return dropVerdict
			}
			r.stack[depth].rules = rules
			depth++
			rules = r.chain.current()
		case gotoVerdict:
			rules = r.chain.current()
		case returnVerdict:
			rules = nil
		default:
			return r.verdict
		}
	}
	if n := b.base.counter; n != nil {
		n.Count(c)
	}
	return b.base.policy.Load()
}
