//! A small XML writer for the answers of the practice endpoint.
//!
//! Used by `api` only. Must not know any AWS shape.

/// A document under construction. Element names come from the program, texts are escaped.
pub(super) struct Xml {
    text: String,
    open: Vec<&'static str>,
}

impl Xml {
    pub fn new() -> Self {
        Self { text: String::with_capacity(1024), open: Vec::new() }
    }

    /// Opens an element; `close` ends the innermost one.
    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
        self.open.push(name);
        self
    }

    pub fn close(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
        self
    }

    /// `<name>value</name>`.
    pub fn put(&mut self, name: &'static str, value: impl std::fmt::Display) -> &mut Self {
        self.open(name);
        escape(&mut self.text, &value.to_string());
        self.close()
    }

    /// The element only if there is a value: EC2 leaves absent things out.
    pub fn put_some(&mut self, name: &'static str, value: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(value) = value {
            self.put(name, value);
        }
        self
    }

    /// `<name>…</name>` around what `write` adds.
    pub fn group(&mut self, name: &'static str, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.open(name);
        write(self);
        self.close()
    }

    /// `<name><item>…</item>…</name>`, EC2's form of a list.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.open(name);
        for item in items {
            self.open("item");
            write(self, item);
            self.close();
        }
        self.close()
    }

    /// `<name><member>…</member>…</name>`, the form of a list in the other Query services.
    pub fn members<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.open(name);
        for item in items {
            self.open("member");
            write(self, item);
            self.close();
        }
        self.close()
    }

    /// Text inside the open element.
    pub fn text(&mut self, value: impl std::fmt::Display) -> &mut Self {
        escape(&mut self.text, &value.to_string());
        self
    }

    /// The text so far.
    pub fn finish(self) -> String {
        self.text
    }
}

/// Adds `value` with the five characters replaced that XML reserves.
pub(super) fn escape(out: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_escapes() {
        let mut xml = Xml::new();
        xml.list("tagSet", ["a<b", "\"c\" & 'd'"], |xml, value| {
            xml.put("key", value).put_some("none", None::<&str>);
        });
        assert_eq!(
            xml.finish(),
            "<tagSet><item><key>a&lt;b</key></item><item><key>&quot;c&quot; &amp; &apos;d&apos;</key></item></tagSet>"
        );
    }
}
