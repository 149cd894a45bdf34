//! The protocol's bytes: numbers, names, tables. Reading never recurses, since tables within tables are a stranger's to nest.

use std::collections::BTreeMap;

use crate::message::{MOST_HEADERS, Value};

/// Brokers add some of their own, such as the offset in a stream or the count of deliveries.
const MOST_READ: usize = MOST_HEADERS + 4;

/// What cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(pub(super) &'static str);

const SHORT: Unreadable = Unreadable("it ends too early");

/// Reads from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Unreadable> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Unreadable> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Unreadable> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Unreadable> {
        self.array().map(u64::from_be_bytes)
    }

    /// A short string, which names something.
    pub(super) fn name(&mut self) -> Result<String, Unreadable> {
        let length = self.u8()?;
        text(self.take(length.into())?).ok_or(Unreadable("a name is no UTF-8"))
    }

    /// A long string, or whatever else has its length before it.
    pub(super) fn long(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| SHORT)?)
    }

    pub(super) fn table(&mut self) -> Result<BTreeMap<String, Value>, Unreadable> {
        let mut inner = Reader(self.long()?);
        let mut table = BTreeMap::new();
        while !inner.0.is_empty() {
            if table.len() == MOST_READ {
                return Err(Unreadable("it has more headers than are read"));
            }
            let name = inner.name()?;
            table.insert(name, inner.value()?);
        }
        Ok(table)
    }

    /// The first whole number of that name in a table, of which nothing else need be readable.
    pub(super) fn integer(&mut self, name: &str) -> Option<i64> {
        let mut inner = Reader(self.long().ok()?);
        loop {
            let length = inner.u8().ok()?;
            let is_it = inner.take(length.into()).ok()? == name.as_bytes();
            if let (true, Value::Integer(number)) = (is_it, inner.value().ok()?) {
                return Some(number);
            }
        }
    }

    /// As RabbitMQ writes them, which differs from the standard.
    fn value(&mut self) -> Result<Value, Unreadable> {
        Ok(match self.u8()? {
            b't' => Value::Boolean(self.u8()? != 0),
            b'b' => Value::Integer(self.array().map(i8::from_be_bytes)?.into()),
            b'B' => Value::Integer(self.u8()?.into()),
            b's' | b'U' => Value::Integer(self.array().map(i16::from_be_bytes)?.into()),
            b'u' => Value::Integer(self.u16()?.into()),
            b'I' => Value::Integer(self.array().map(i32::from_be_bytes)?.into()),
            b'i' => Value::Integer(self.u32()?.into()),
            b'l' | b'L' => Value::Integer(self.array().map(i64::from_be_bytes)?),
            b'S' => {
                let bytes = self.long()?;
                text(bytes).map_or_else(|| Value::Bytes(bytes.to_vec()), Value::Text)
            }
            b'x' => Value::Bytes(self.long()?.to_vec()),
            b'V' => Value::Other,
            b'f' => self.skip(4)?,
            b'd' | b'T' => self.skip(8)?,
            b'D' => self.skip(5)?,
            b'F' | b'A' => self.long().map(|_| Value::Other)?,
            _ => return Err(Unreadable("a header is of an unknown type")),
        })
    }

    fn skip(&mut self, count: usize) -> Result<Value, Unreadable> {
        self.take(count).map(|_| Value::Other)
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// Appends a short string. What is longer was refused before; it is cut, so that the frame is still one.
pub(super) fn put_name(to: &mut Vec<u8>, name: &str) {
    let bytes = &name.as_bytes()[..name.len().min(255)];
    // At most 255, by the line above.
    to.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    to.extend(bytes);
}

/// Appends what has its length before it.
pub(super) fn put_long(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(bytes);
}

/// Appends a table.
pub(super) fn put_table<'a>(to: &mut Vec<u8>, entries: impl IntoIterator<Item = (&'a str, &'a Value)>) {
    let mut table = Vec::new();
    for (name, value) in entries {
        put_name(&mut table, name);
        put_value(&mut table, value);
    }
    put_long(to, &table);
}

fn put_value(to: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            to.push(b'S');
            put_long(to, text.as_bytes());
        }
        Value::Bytes(bytes) => {
            to.push(b'x');
            put_long(to, bytes);
        }
        Value::Integer(number) => {
            to.push(b'l');
            to.extend(number.to_be_bytes());
        }
        Value::Boolean(is) => to.extend([b't', u8::from(*is)]),
        Value::Other => to.push(b'V'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: &[u8]) -> Result<BTreeMap<String, Value>, Unreadable> {
        let mut bytes = Vec::new();
        put_long(&mut bytes, table);
        Reader(&bytes).table()
    }

    #[test]
    fn what_is_written_is_read() {
        let values = [
            Value::Text("ä".into()),
            Value::Bytes(vec![0xff, 0]),
            Value::Integer(i64::MIN),
            Value::Boolean(true),
            Value::Boolean(false),
            Value::Other,
        ];
        let table: BTreeMap<_, _> = (0..).map(|number: u8| number.to_string()).zip(values).collect();
        let mut bytes = Vec::new();
        put_table(&mut bytes, table.iter().map(|(name, value)| (&**name, value)));
        assert_eq!(Reader(&bytes).table(), Ok(table));
    }

    #[test]
    fn each_type_has_its_length() {
        let all = b"\x01at\x01\x01bb\xff\x01cB\xff\x01ds\xff\xff\x01eU\0\x01\x01fu\xff\xff\x01gI\xff\xff\xff\xff\x01hi\xff\xff\xff\xff\
            \x01jl\xff\xff\xff\xff\xff\xff\xff\xff\x01kL\0\0\0\0\0\0\0\x01\x01lf....\x01md........\x01nD.....\x01oT........\
            \x01pV\x01qA\0\0\0\x02??\x01rF\0\0\0\x01?\x01sS\0\0\0\x01\xff\x01tx\0\0\0\x01\x07\x01uS\0\0\0\0";
        let table = read(all).unwrap();
        let integers: Vec<_> = ["b", "c", "d", "e", "f", "g", "h", "j", "k"].map(|name| table[name].clone()).into();
        let expected = [-1, 255, -1, 1, 65_535, -1, 4_294_967_295, -1, 1];
        assert_eq!(integers, expected.map(Value::Integer));
        for name in ["l", "m", "n", "o", "p", "q", "r"] {
            assert_eq!(table[name], Value::Other, "{name}");
        }
        assert_eq!((&table["s"], &table["t"]), (&Value::Bytes(vec![0xff]), &Value::Bytes(vec![7])));
        assert_eq!((&table["a"], &table["u"]), (&Value::Boolean(true), &Value::Text(String::new())));
    }

    #[test]
    fn tables_within_tables_are_passed_over_however_deep() {
        for kind in [b'F', b'A'] {
            let mut nested = Vec::new();
            for _ in 0..20_000 {
                let mut outer = if kind == b'F' { vec![0, kind] } else { vec![kind] };
                put_long(&mut outer, &nested);
                nested = outer;
            }
            let table = if kind == b'F' { nested } else { [b"\x01a", &nested[..]].concat() };
            assert_eq!(read(&table).unwrap().into_values().collect::<Vec<_>>(), [Value::Other]);
        }
    }

    #[test]
    fn one_number_is_found_whatever_is_beside_it() {
        let mut bytes = Vec::new();
        put_long(&mut bytes, b"\x01\xffV\x01nS\0\0\0\x01x\x01nl\0\0\0\0\0\0\0\x07\x01nb\x08");
        assert_eq!((Reader(&bytes).integer("n"), Reader(&bytes).integer("m")), (Some(7), None));
        for end in 0..bytes.len() {
            assert_eq!(Reader(&bytes[..end]).integer("n"), None);
        }
    }

    #[test]
    fn what_is_cut_or_strange_is_no_table() {
        let whole = b"\x01aS\0\0\0\x03xyz\x01bl\0\0\0\0\0\0\0\x01";
        for end in 1..whole.len() {
            assert_eq!(read(&whole[..end]).is_ok(), end == 10, "{end}");
        }
        assert_eq!(read(b"\x01\xffV"), Err(Unreadable("a name is no UTF-8")));
        assert_eq!(read(b"\x01az"), Err(Unreadable("a header is of an unknown type")));
        assert!(Reader(b"\xff\xff\xff\xff").table().is_err());
        let many: Vec<u8> = (0..=MOST_READ).flat_map(|number| [1, u8::try_from(number).unwrap(), b'V']).collect();
        assert_eq!(read(&many[3..]).map(|table| table.len()), Ok(MOST_READ));
        assert_eq!(read(&many), Err(Unreadable("it has more headers than are read")));
    }
}
