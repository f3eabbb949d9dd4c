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
//	      Inode.mu of directories: ancestor before descendant, else in order of creation
//	        Inode.mu of other objects
//	          locks of file systems
//	            Dentry.mu, one at a time
//	              Superblock.lru, watches of inotify, record locks
//	                wait queues
//
// A file system that is made of others takes their Inode.mu after its own.
// File.posMu comes before Inode.mu. FSState.mu, FDTable.mu and the list of all
// FSStates (before FSState.mu) are leaves: references are dropped after them.
// Mount.DecRef takes mountMu, so no Path is let go of with that held.
//
// Application memory is copied with File.posMu, Inode.mu or a pipe's lock held at
// most; none of them is taken by a page fault. What a fault takes (Mappable) is a
// file system's own lock, under which nothing of the application is touched.
package vfs
