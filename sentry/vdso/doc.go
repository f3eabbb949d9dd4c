// Package vdso makes the vDSO that applications get (vdso(7)): an ELF shared
// object with code that reads the clocks without a system call, and the page of
// parameters that the code reads.
//
// # Mapping
//
// An application gets two mappings, one right after the other: the page of
// parameters ([vvar], read-only, shared by the whole sandbox), and the image
// ([vdso], read and execute). AT_SYSINFO_EHDR is the address of the image.
//
// # Clocks
//
// The clocks are the host's. The code extrapolates them from the processor's time
// stamp counter, at a rate that Params has measured, for a limited time; when that
// is over, or the counter cannot be trusted, it makes the system call. The sentry
// serves this by Params.Now, which measures anew. So nothing has to run
// periodically, and a sandbox that sleeps is not woken. As the sentry and the
// application use the same parameters, they see the same time.
package vdso
