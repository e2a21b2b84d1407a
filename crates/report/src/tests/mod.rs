mod schema;
mod shown;
