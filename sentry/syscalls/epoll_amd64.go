package syscalls

// epollEventSize is sizeof(struct epoll_event), which is packed on x86-64.
const epollEventSize = 12
