package vdso

import "casemate/platform/arch"

// ParamsSize is the size of the page of parameters, which is mapped just before
// the image.
const ParamsSize = arch.PageSize

// Image returns nil: there is no vDSO for this architecture yet.
func Image() []byte { return nil }

func (hostClocks) counter() uint64 { return 0 }

func invariantCounter() bool { return false }
