// Package vfs is the file system core: names, mounts, open files, and what every
// file system implements.
package vfs
