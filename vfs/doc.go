// Package vfs is the file system core: names, mounts, open files, and what every
// file system implements.
//
// A file system implements InodeOps for its objects, each of which embeds an
// Inode, and FileOps for what open(2) makes of them; a Superblock stands for one
// instance. The core has the dentry cache, path walks, permission checks, mounts,
// open file descriptions (File), descriptor tables and file locks.
//
// # References
//
// Memory is the garbage collector's; references say when something is in use.
// A Path, a File and a MountNamespace are held by IncRef and let go by DecRef. A
// Dentry holds its Inode and its parent. A walk that hits the cache pins only what
// it ends at.
//
// # Blocking
//
// FileOps never wait for another task: they return EAGAIN, and the system call
// layer waits for Readiness and tries again. They may wait for the host or a gofer.
//
// # Locking order
//
//	memory manager's lock
//	  VFS.mountMu
//	    Superblock.renameMu
//	      Inode.mu of directories: ancestor before descendant, else by address of creation (Inode.seq)
//	        Inode.mu of other objects, by seq
//	          locks of file systems
//	            Dentry.mu, parent before child
//	              Superblock.lru
//	                wait queues
//
// File.posMu comes before Inode.mu and is not held while application memory is
// locked. FSState.mu and FDTable.mu are leaves but for Dentry and File references,
// which are never dropped with them held.
//
// Application memory is copied with no lock of the core held but File.posMu; file
// systems whose pages can be mapped hold none of the locks that Translate takes.
package vfs
