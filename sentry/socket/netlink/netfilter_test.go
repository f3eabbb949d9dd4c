package netlink

import (
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// TestChainID has a rule of a batch go to a chain of the batch by its number, when the chain is
// there and when the batch has deleted it again.
func TestChainID(t *testing.T) {
	const (
		chainID = 11 // NFTA_CHAIN_ID
		toChain = 3  // NFTA_VERDICT_CHAIN_ID
		id      = 77
	)
	for _, x := range []struct {
		deleted bool
		want    unix.Errno
	}{{false, 0}, {true, unix.ENOENT}} {
		var b nlmsg.Builder
		message := func(typ, flags uint16, fill func()) {
			b.Begin(typ, unix.NLM_F_REQUEST|flags, 7, 0, unix.NFPROTO_INET, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
			fill()
			b.End()
		}
		nft := func(typ, flags uint16, fill func()) { message(unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, fill) }
		chain := func(name string) {
			b.AttrString(unix.NFTA_CHAIN_TABLE, "t")
			b.AttrString(unix.NFTA_CHAIN_NAME, name)
		}
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, func() {})
		nft(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func() { b.AttrString(unix.NFTA_TABLE_NAME, "t") })
		nft(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func() {
			chain("to")
			b.AttrBE32(chainID, id)
		})
		if x.deleted {
			nft(unix.NFT_MSG_DELCHAIN, 0, func() { chain("to") })
		}
		nft(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func() { chain("from") })
		nft(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND|unix.NLM_F_ACK, func() {
			b.AttrString(unix.NFTA_RULE_TABLE, "t")
			b.AttrString(unix.NFTA_RULE_CHAIN, "from")
			b.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
				b.Nest(unix.NFTA_LIST_ELEM, func() {
					b.AttrString(unix.NFTA_EXPR_NAME, "immediate")
					b.Nest(unix.NFTA_EXPR_DATA, func() {
						b.AttrBE32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
						b.Nest(unix.NFTA_IMMEDIATE_DATA, func() {
							b.Nest(unix.NFTA_DATA_VERDICT, func() {
								gotoChain := int32(unix.NFT_GOTO)
								b.AttrBE32(unix.NFTA_VERDICT_CODE, uint32(gotoChain))
								b.AttrBE32(toChain, id)
							})
						})
					})
				})
			})
		})
		message(unix.NFNL_MSG_BATCH_END, 0, func() {})
		stack, ctx, s := sent(t, unix.NETLINK_NETFILTER, b.B)
		w := &world{t: t, ctx: ctx}
		if errno := w.errno(s); errno != x.want {
			t.Errorf("deleted %v: %v, want %v", x.deleted, errno, x.want)
		}
		stack.Close()
	}
}
