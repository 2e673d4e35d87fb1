//! Reads the form in which Postgres stores analysed statements (`pg_node_tree`).

use std::iter::Peekable;

/// A part of a statement.
#[derive(Debug, Default)]
pub struct Node {
    /// `QUERY`, `FUNCEXPR` …; empty for a list; the text of a value.
    name: String,
    fields: Vec<(String, Vec<Node>)>,
    items: Vec<Node>,
}

impl Node {
    /// Reads a whole tree.
    pub fn parse(text: &str) -> Self {
        let tokens = split(text);
        let mut tokens = tokens.into_iter().peekable();
        let node = read(&mut tokens).expect("a node");
        assert_eq!(tokens.next(), None, "the tree goes on");
        node
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a field of numbers and the like.
    pub fn value(&self, field: &str) -> &str {
        let first = self.field(field).first();
        first.map_or("", |value| value.name.as_str())
    }

    /// What a field holds; nothing if the node has no such field or it is null.
    pub fn field(&self, field: &str) -> &[Node] {
        let found = self.fields.iter().find(|(name, _)| name == field);
        match found {
            Some((_, values)) if values.first().is_some_and(|value| value.name != "<>") => values,
            _ => &[],
        }
    }

    /// Everything directly below it.
    pub fn children(&self) -> impl Iterator<Item = &Node> {
        let fields = self.fields.iter().flat_map(|(_, values)| values);
        fields.chain(&self.items)
    }

    /// It and everything below it.
    pub fn walk<'n>(&'n self, visit: &mut impl FnMut(&'n Node)) {
        visit(self);
        self.children().for_each(|child| child.walk(visit));
    }

    /// Whether it or something below it is such a node.
    pub fn any(&self, is: &impl Fn(&Node) -> bool) -> bool {
        is(self) || self.children().any(|child| child.any(is))
    }
}

fn read(tokens: &mut Peekable<impl Iterator<Item = String>>) -> Option<Node> {
    let token = tokens.next()?;
    match token.as_str() {
        "{" => {
            let mut node = Node {
                name: tokens.next()?,
                ..Node::default()
            };
            loop {
                let field = tokens.next()?;
                if field == "}" {
                    return Some(node);
                }
                let name = field.strip_prefix(':').expect("a field").to_owned();
                let mut values = Vec::new();
                while tokens
                    .peek()
                    .is_some_and(|next| next != "}" && !next.starts_with(':'))
                {
                    values.push(read(tokens)?);
                }
                node.fields.push((name, values));
            }
        }
        "(" => {
            let mut list = Node::default();
            while tokens.peek().is_some_and(|next| next != ")") {
                list.items.push(read(tokens)?);
            }
            tokens.next();
            Some(list)
        }
        _ => Some(Node {
            name: token,
            ..Node::default()
        }),
    }
}

/// Splits at blanks and brackets that have no backslash before them.
fn split(text: &str) -> Vec<String> {
    let (mut tokens, mut token) = (Vec::new(), String::new());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => token.extend(chars.next()),
            '{' | '}' | '(' | ')' => {
                tokens.extend([std::mem::take(&mut token), c.to_string()]);
            }
            c if c.is_whitespace() => tokens.push(std::mem::take(&mut token)),
            c => token.push(c),
        }
    }
    tokens.push(token);
    tokens.retain(|token| !token.is_empty());
    tokens
}

#[test]
fn fields_lists_and_texts_are_read() {
    let tree = Node::parse(r#"({A :one 4 [ 1 0 ] :two <> :three ({B :name "a\ \(b"})})"#);
    let a = tree.children().next().unwrap();
    assert_eq!((a.name(), a.value("one")), ("A", "4"));
    assert!(a.field("two").is_empty() && a.field("four").is_empty());
    let mut names = Vec::new();
    tree.walk(&mut |node| names.extend(node.field("name").iter().map(Node::name)));
    assert_eq!(names, ["\"a (b\""]);
}
