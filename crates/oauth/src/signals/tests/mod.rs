mod delivery;
mod revocation;
mod set;
mod stream;
