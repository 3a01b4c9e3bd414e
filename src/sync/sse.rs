//! Server-sent events between a hub and its edges, as text.

/// Reads server-sent events from chunks of bytes as they come.
///
/// Only what our hub sends: `event:`, `data:`, comments, blank lines. Anything else passes over, as the standard says.
#[derive(Default)]
pub struct Reader {
    line: Vec<u8>,
    event: String,
    data: String,
}

/// No event of ours is longer; a longer one is passed over.
const MAX_LINE: usize = 64 << 10;

impl Reader {
    /// The events that are complete with these bytes, as name and data.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<(String, String)> {
        let mut events = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                if self.line.len() < MAX_LINE {
                    self.line.push(byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.strip_suffix('\r').unwrap_or(&line);
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "" if line.is_empty() => {
                    let event = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
                    if !event.1.is_empty() {
                        events.push(event);
                    }
                }
                "event" => self.event = value.into(),
                "data" => {
                    if !self.data.is_empty() {
                        self.data.push('\n');
                    }
                    if self.data.len() < MAX_LINE {
                        self.data.push_str(value);
                    }
                }
                _ => {}
            }
        }
        events
    }
}

/// One event as text.
pub fn event(name: &str, data: &impl serde::Serialize) -> String {
    let data = serde_json::to_string(data).expect("hints are plain data");
    format!("event: {name}\ndata: {data}\n\n")
}

/// What keeps a silent stream alive.
pub const COMMENT: &str = ":\n\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = format!("{COMMENT}{}retry: 5\r\ndata: a\r\ndata: b\r\n\r\n", event("head", &[1, 2]));
        let expected = [("head".to_owned(), "[1,2]".to_owned()), (String::new(), "a\nb".to_owned())];
        for cut in 0..text.len() {
            let mut reader = Reader::default();
            let mut events = reader.read(&text.as_bytes()[..cut]);
            events.extend(reader.read(&text.as_bytes()[cut..]));
            assert_eq!(events, expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut reader = Reader::default();
        for _ in 0..100 {
            assert!(reader.read(&[b'x'; 10_000]).is_empty());
        }
        assert!(reader.line.len() <= MAX_LINE);
        assert_eq!(reader.read(b"\n\ndata: 1\n\n").len(), 1);
    }
}
