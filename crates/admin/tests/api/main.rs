//! The admin API as it is called: every operation with every authority, and what each does.

#![expect(unreachable_pub, reason = "a test binary has no public interface")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;
mod documented;
mod people;
mod providers;
mod settings;
mod strangers;
mod walk;
