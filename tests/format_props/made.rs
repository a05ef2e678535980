//! What is changed at random, of what others made.

/// A configuration with a table of each kind.
pub const CONFIG: &str = r#"
[vault]
url = "s3://acme-vault/prod"
endpoint = "http://127.0.0.1:8333"
path_style = true
credentials = "file:writer-s3.toml"

[writer]
name = "db1"
key = "writer.key"
state = "state"

[lock]
keep = "35d"
tiers = { weekly = "84d", monthly = "400d" }

[delta]
cache = "2GiB"

[[source]]
name = "orders"
kind = "postgres"
dsn = "service=orders"

[[source.check]]
name = "paid orders exist"
sql = "select true"

[[source]]
name = "code"
kind = "git"
repo = "/srv/code.git"
"#;

/// A pack with two blobs, one of them long enough to be cut anywhere, and 20 bytes behind them.
pub fn git_pack() -> Vec<u8> {
    let object = |size: usize, bytes: &[u8]| {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut zlib, bytes).unwrap();
        let low = u8::try_from(size & 15).unwrap() | 3 << 4;
        let head = if size < 16 { vec![low] } else { vec![low | 0x80, u8::try_from(size >> 4).unwrap()] };
        [head, zlib.finish().unwrap()].concat()
    };
    let long: Vec<u8> = (0..300_u32).flat_map(|n| (n * n).to_le_bytes()).take(1000).collect();
    let objects = [object(5, b"hello"), object(1000, &long)].concat();
    [b"PACK\0\0\0\x02\0\0\0\x02".as_slice(), &objects, &[7; 20]].concat()
}
