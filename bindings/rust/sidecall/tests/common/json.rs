//! A reader of JSON for the test vectors. It keeps the order of members, and tells integers from
//! other numbers.

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Real(f64),
    Str(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader {
            bytes: text.as_bytes(),
            at: 0,
        };
        let value = reader.value();
        reader.skip_blanks();
        assert_eq!(reader.at, text.len(), "text after the value");
        value
    }

    pub fn member(&self, name: &str) -> Option<&Json> {
        let found = |(key, _): &&(String, Json)| key == name;
        self.members().iter().find(found).map(|(_, value)| value)
    }

    pub fn str(&self) -> &str {
        match self {
            Json::Str(text) => text,
            other => panic!("expected a string, got {other:?}"),
        }
    }

    /// An integer; of an unsigned one, its bits.
    pub fn int(&self) -> i64 {
        match *self {
            Json::Int(number) => number,
            Json::Uint(number) => number as i64,
            ref other => panic!("expected an integer, got {other:?}"),
        }
    }

    /// A number. One that is not finite is written as a word.
    pub fn real(&self) -> f64 {
        match self {
            Json::Int(number) => *number as f64,
            Json::Uint(number) => *number as f64,
            Json::Real(number) => *number,
            Json::Str(word) => word.parse().expect(word),
            other => panic!("expected a number, got {other:?}"),
        }
    }

    pub fn list(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            other => panic!("expected a list, got {other:?}"),
        }
    }

    pub fn members(&self) -> &[(String, Json)] {
        match self {
            Json::Object(members) => members,
            other => panic!("expected an object, got {other:?}"),
        }
    }

    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Json::Int(number) => out.push_str(&number.to_string()),
            Json::Uint(number) => out.push_str(&number.to_string()),
            Json::Real(number) => out.push_str(&format!("{number:?}")),
            Json::Str(text) => write_text(text, out),
            Json::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\x1f' => out.push_str(&format!("\\u{:04x}", c as u32)),
            _ => out.push(c),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip_blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str, value: Json) -> Json {
        assert!(self.bytes[self.at..].starts_with(word.as_bytes()), "{word}");
        self.at += word.len();
        value
    }

    fn value(&mut self) -> Json {
        self.skip_blanks();
        match self.bytes[self.at] {
            b'n' => self.word("null", Json::Null),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'"' => Json::Str(self.text()),
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.take(b']') {
                    items.push(self.value());
                    self.take(b',');
                }
                Json::List(items)
            }
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                while !self.take(b'}') {
                    self.skip_blanks();
                    let name = self.text();
                    assert!(self.take(b':'), "a colon after {name}");
                    members.push((name, self.value()));
                    self.take(b',');
                }
                Json::Object(members)
            }
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Json {
        let begin = self.at;
        let is_part = |c: &u8| c.is_ascii_digit() || b"-+.eE".contains(c);
        while self.bytes.get(self.at).is_some_and(is_part) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.bytes[begin..self.at]).unwrap();
        if let Ok(number) = text.parse() {
            return Json::Int(number);
        }
        match text.parse() {
            Ok(number) => Json::Uint(number),
            Err(_) => Json::Real(text.parse().expect(text)),
        }
    }

    fn text(&mut self) -> String {
        assert!(self.take(b'"'), "a string");
        let mut bytes = Vec::new();
        loop {
            let byte = self.bytes[self.at];
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).unwrap(),
                b'\\' => bytes.extend(self.escaped().encode_utf8(&mut [0; 4]).as_bytes()),
                other => bytes.push(other),
            }
        }
    }

    fn escaped(&mut self) -> char {
        let byte = self.bytes[self.at];
        self.at += 1;
        match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'u' => {
                let first = self.hex();
                let code = if (0xd800..0xdc00).contains(&first) {
                    self.at += 2; // the \u of the second half
                    0x10000 + ((first - 0xd800) << 10) + (self.hex() - 0xdc00)
                } else {
                    first
                };
                char::from_u32(code).unwrap()
            }
            other => char::from(other),
        }
    }

    fn hex(&mut self) -> u32 {
        let digits = std::str::from_utf8(&self.bytes[self.at..self.at + 4]).unwrap();
        self.at += 4;
        u32::from_str_radix(digits, 16).unwrap()
    }
}
