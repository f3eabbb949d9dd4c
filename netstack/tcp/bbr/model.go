package bbr

// maxFilter is the largest of the values of the last rounds (windowed max filter).
type maxFilter struct {
	max   float64
	round uint32 // of the last value
	best  [filterRounds]float64
}

// update takes a value of a round, and forgets those of rounds that are filterRounds or more
// before it.
func (f *maxFilter) update(round uint32, v float64) {
	if n := round - f.round; n > 0 {
		for k := range min(n, filterRounds) {
			f.best[(round-k)%filterRounds] = 0
		}
		f.round, f.max = round, 0
		for _, w := range f.best {
			f.max = max(f.max, w)
		}
	}
	k := round % filterRounds
	f.best[k] = max(f.best[k], v)
	f.max = max(f.max, v)
}

// updateRound counts rounds: one is over when something is delivered that was sent after it
// began (section 4.1.1.3).
func (b *State) updateRound(a *Ack) {
	b.roundStart = a.Sampled && int32(a.Prior-b.roundEnd) >= 0
	if b.roundStart {
		b.roundEnd = a.Delivered
		b.round++
		b.conservation = false
	}
}

// updateBW is section 4.1.1.4: samples that the application has limited count only if they are
// higher.
func (b *State) updateBW(a *Ack) {
	if a.Rate > 0 && (a.Rate >= b.bw.max || !a.Limited) {
		b.bw.update(b.round, a.Rate)
	}
}

// updateExtra estimates how much more is acknowledged at a time than the rate lets expect
// (draft-ietf-ccwg-bbr, UpdateACKAggregation): the window has to allow for the silence before.
func (b *State) updateExtra(a *Ack, cwnd int) {
	if a.Newly == 0 || !b.filledPipe {
		return
	}
	expected := b.bw.max * (a.Now - b.extraSince).Seconds()
	if float64(b.extraAcked) <= expected {
		b.extraAcked, b.extraSince, expected = 0, a.Now, 0
	}
	b.extraAcked += a.Newly
	extra := min(float64(b.extraAcked)-expected, float64(cwnd))
	b.extra.update(b.round, max(extra, 0))
}
