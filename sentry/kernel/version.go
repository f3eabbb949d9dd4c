package kernel

// What uname(2) and /proc/version say the kernel is. The release is that of the
// Linux whose system calls the table names.
const (
	Release = "6.18.0-casemate"
	Version = "#1 SMP PREEMPT_DYNAMIC Casemate"
)
