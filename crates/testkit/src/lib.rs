//! Real parts for the tests of the other crates, which reach them through here: a crate's own imports
//! stay as narrow as the table says. It is never part of the product.

pub use sallyport_demo as demo;
