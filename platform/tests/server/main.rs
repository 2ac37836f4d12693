//! The server as a process, and everything that can happen to one: killed, told to stop, started twice, a full disk, a damaged or
//! locked file, a watch on its system calls.

mod completions;
mod damaged;
mod dead_letters;
mod demo;
mod disk_full;
mod doctor;
mod flushed;
mod grown;
mod killed;
mod load;
mod measured;
mod otlp;
mod sagas;
mod settings;
mod started;
mod stopped;
mod stories;
mod streamed;
mod streams;
mod support;
mod trace;
