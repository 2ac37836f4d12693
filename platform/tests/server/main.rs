//! The server as a process, and everything that can happen to one: killed, told to stop, started twice, a full disk, a damaged or
//! locked file, a watch on its system calls.

mod damaged;
mod disk_full;
mod flushed;
mod killed;
mod load;
mod measured;
mod settings;
mod started;
mod stopped;
mod support;
mod trace;
