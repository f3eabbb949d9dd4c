package syscalls

// epollEventSize is sizeof(struct epoll_event).
const epollEventSize = 16
