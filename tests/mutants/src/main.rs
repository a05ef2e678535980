//! Writes all changes that cargo-mutants lists into the sources at once, each behind a switch (`crate::switched(N)`), so that one build
//! serves all of them. Usage: `mutants LIST CRATE OFF MAP`: the list (`cargo mutants --list --json`), the crate whose files are
//! rewritten, the numbers of the changes to leave out, and where to write which bytes of the rewritten files are of which change.

mod edits;

use std::{collections::BTreeMap, collections::BTreeSet, env, fs, path::Path};

use edits::Edits;
use proc_macro2::{LineColumn, Span};
use serde::Deserialize;
use syn::{
    Arm, BinOp, Block, Expr, ExprBinary, ExprUnary, ImplItemFn, ItemFn, ReturnType, Signature, TraitItemFn, Type,
    spanned::Spanned,
    visit::{self, Visit},
};

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    line: usize,
    column: usize,
}

#[derive(Deserialize, Clone)]
struct Extent {
    start: Place,
}

#[derive(Deserialize, Clone)]
struct Mutant {
    file: String,
    genre: String,
    replacement: String,
    span: Extent,
    #[serde(skip)]
    id: usize,
}

/// Goes through one file.
struct Walk {
    edits: Edits,
    at: BTreeMap<(usize, usize), Vec<Mutant>>,
}

impl Walk {
    /// The changes of one genre that begin here.
    fn here(&self, genre: &str, at: LineColumn) -> Vec<Mutant> {
        let found = self.at.get(&(at.line, at.column + 1)).into_iter().flatten();
        found.filter(|one| one.genre == genre).cloned().collect()
    }

    fn start(&self, of: Span) -> usize {
        self.edits.offset(of.start())
    }

    fn end(&self, of: Span) -> usize {
        self.edits.offset(of.end())
    }

    fn body(&mut self, signature: &Signature, block: &Block) {
        let Some(first) = block.stmts.first() else { return };
        // A function has one type of result, though its signature leaves it open which.
        let open = matches!(&signature.output, ReturnType::Type(_, what) if matches!(**what, Type::ImplTrait(_)));
        let values = if open { Vec::new() } else { self.here("FnValue", first.span().start()) };
        for one in &values {
            let at = self.start(first.span());
            self.edits.insert(
                at,
                &format!("if crate::switched({}) {{ return {}; }} ", one.id, one.replacement),
                Some(one.id),
            );
        }
        let within = |place: &(usize, usize)| {
            let (from, to) = (block.span().start(), block.span().end());
            (from.line, from.column) <= *place && *place <= (to.line, to.column + 1)
        };
        if let Some(word) = &signature.constness {
            if self.at.keys().any(within) {
                let (from, to) = (self.start(word.span), self.end(word.span));
                self.edits.replace(from, to, "", None);
            }
        }
    }

    fn logic(&mut self, node: &ExprBinary, one: &Mutant) {
        let (and, id) = (matches!(node.op, BinOp::And(_)), one.id);
        let (from, to) = (self.start(node.span()), self.end(node.span()));
        self.edits.insert(from, "(match ", Some(id));
        visit::visit_expr(self, &node.left);
        let then = if and { "" } else { "l } else { " };
        let text = format!(" {{ l => if l ^ crate::switched({id}) {{ {then}");
        self.edits.replace(self.start(node.op.span()), self.end(node.op.span()), &text, Some(id));
        visit::visit_expr(self, &node.right);
        self.edits.insert(to, if and { " } else { l } })" } else { " } })" }, Some(id));
        self.edits.site(from, to, vec![id]);
    }

    fn assign(&mut self, node: &ExprBinary, ones: &[Mutant]) {
        let (from, to) = (self.start(node.span()), self.end(node.span()));
        let (left, op) = (
            self.edits.text(from, self.end(node.left.span())),
            self.edits.text(self.start(node.op.span()), self.end(node.op.span())),
        );
        self.edits.insert(from, "(match ", None);
        // What is assigned to is written again in each branch, as it was; what is computed comes first, as it does.
        self.edits.replace(from, self.end(node.op.span()), "", None);
        visit::visit_expr(self, &node.right);
        self.edits.insert(to, " { r => ", None);
        for one in ones {
            let text = format!("if crate::switched({}) {{ {left} {} r }} else ", one.id, one.replacement);
            self.edits.insert(to, &text, Some(one.id));
        }
        self.edits.insert(to, &format!("{{ {left} {op} r }} }})"), None);
        self.edits.site(from, to, ones.iter().map(|one| one.id).collect());
    }

    fn operation(&mut self, node: &ExprBinary, ones: &[Mutant]) {
        let compares =
            matches!(node.op, BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_));
        let (before, star) = if compares { ("&(", "*") } else { ("(", "") };
        let (from, to) = (self.start(node.span()), self.end(node.span()));
        let op = self.edits.text(self.start(node.op.span()), self.end(node.op.span()));
        self.edits.insert(from, &format!("(match ({before}"), None);
        visit::visit_expr(self, &node.left);
        self.edits.replace(self.start(node.op.span()), self.end(node.op.span()), &format!("), {before}"), None);
        visit::visit_expr(self, &node.right);
        self.edits.insert(to, ")) { (l, r) => ", None);
        for one in ones {
            let text = format!("if crate::switched({}) {{ {star}l {} {star}r }} else ", one.id, one.replacement);
            self.edits.insert(to, &text, Some(one.id));
        }
        self.edits.insert(to, &format!("{{ {star}l {op} {star}r }} }})"), None);
        self.edits.site(from, to, ones.iter().map(|one| one.id).collect());
    }
}

/// Whether it is a chain with a `let`, which stands only where it stands.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(node) => has_let(&node.left) || has_let(&node.right),
        _ => false,
    }
}

impl<'a> Visit<'a> for Walk {
    fn visit_item_const(&mut self, _: &'a syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'a syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'a syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'a syn::TraitItemConst) {}
    fn visit_type(&mut self, _: &'a syn::Type) {}
    fn visit_pat(&mut self, _: &'a syn::Pat) {}
    fn visit_expr_const(&mut self, _: &'a syn::ExprConst) {}
    fn visit_expr_repeat(&mut self, node: &'a syn::ExprRepeat) {
        self.visit_expr(&node.expr);
    }

    fn visit_item_fn(&mut self, node: &'a ItemFn) {
        self.body(&node.sig, &node.block);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'a ImplItemFn) {
        self.body(&node.sig, &node.block);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_trait_item_fn(&mut self, node: &'a TraitItemFn) {
        if let Some(block) = &node.default {
            self.body(&node.sig, block);
        }
        visit::visit_trait_item_fn(self, node);
    }

    fn visit_expr_binary(&mut self, node: &'a ExprBinary) {
        let ones = self.here("BinaryOperator", node.op.span().start());
        let logic = matches!(node.op, BinOp::And(_) | BinOp::Or(_));
        let assigns = matches!(
            node.op,
            BinOp::AddAssign(_)
                | BinOp::SubAssign(_)
                | BinOp::MulAssign(_)
                | BinOp::DivAssign(_)
                | BinOp::RemAssign(_)
                | BinOp::BitXorAssign(_)
                | BinOp::BitAndAssign(_)
                | BinOp::BitOrAssign(_)
                | BinOp::ShlAssign(_)
                | BinOp::ShrAssign(_)
        );
        match ones.as_slice() {
            [] => visit::visit_expr_binary(self, node),
            [one] if logic && !has_let(&node.left) && !has_let(&node.right) => self.logic(node, one),
            _ if logic => visit::visit_expr_binary(self, node),
            _ if assigns => self.assign(node, &ones),
            _ => self.operation(node, &ones),
        }
    }

    fn visit_expr_unary(&mut self, node: &'a ExprUnary) {
        let [one] = &self.here("UnaryOperator", node.op.span().start())[..] else {
            return visit::visit_expr_unary(self, node);
        };
        let (from, to) = (self.start(node.span()), self.end(node.span()));
        let (begin, end) = (self.start(node.op.span()), self.end(node.op.span()));
        let op = self.edits.text(begin, end);
        self.edits.replace(begin, end, "(match ", Some(one.id));
        visit::visit_expr(self, &node.expr);
        self.edits.insert(
            to,
            &format!(" {{ v => if crate::switched({}) {{ v }} else {{ {op}v }} }})", one.id),
            Some(one.id),
        );
        self.edits.site(from, to, vec![one.id]);
    }

    fn visit_arm(&mut self, node: &'a Arm) {
        let gone = self.here("MatchArm", node.span().start());
        let guarded = node.guard.as_ref().map(|(_, guard)| guard);
        let (mut before, mut after, mut ids) = (String::new(), String::new(), Vec::new());
        if let Some(one) = gone.first() {
            before = format!("!crate::switched({})", one.id);
            ids.push(one.id);
        }
        if let Some(guard) = guarded {
            let ones = self.here("MatchArmGuard", guard.span().start());
            if !before.is_empty() {
                before += " && ";
            }
            if has_let(guard) {
                before.clear();
                ids.clear();
            } else if !ones.is_empty() || !before.is_empty() {
                before += "(";
                after += ")";
                for one in &ones {
                    ids.push(one.id);
                    before += &if one.replacement == "true" {
                        format!("crate::switched({}) || ", one.id)
                    } else {
                        format!("!crate::switched({}) && ", one.id)
                    };
                }
                before += "(";
                after += ")";
            }
            let (from, to) = (self.start(guard.span()), self.end(guard.span()));
            self.edits.insert(from, &before, None);
            self.visit_expr(guard);
            self.edits.insert(to, &after, None);
            self.edits.site(from, to, ids);
        } else if !before.is_empty() {
            let at = self.end(node.pat.span());
            self.edits.insert(at, &format!(" if {before}"), Some(ids[0]));
        }
        self.visit_expr(&node.body);
    }
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let [_, list, base, off, map] = &args[..] else { panic!("mutants LIST CRATE OFF MAP") };
    let mut mutants: Vec<Mutant> = serde_json::from_str(&fs::read_to_string(list).unwrap()).unwrap();
    mutants.iter_mut().enumerate().for_each(|(id, one)| one.id = id + 1);
    let off: BTreeSet<usize> =
        fs::read_to_string(off).unwrap().split_whitespace().map(|id| id.parse().unwrap()).collect();
    let mut files: BTreeMap<String, BTreeMap<(usize, usize), Vec<Mutant>>> = BTreeMap::new();
    for one in mutants.into_iter() {
        let file = files.entry(one.file.clone()).or_default();
        let place = (one.span.start.line, one.span.start.column);
        if !off.contains(&one.id) {
            file.entry(place).or_default().push(one);
        }
    }
    let mut written = BTreeMap::new();
    for (file, at) in files {
        let path = Path::new(base).join(&file);
        let text = fs::read_to_string(&path).unwrap();
        let tree = syn::parse_file(&text).unwrap();
        let mut walk = Walk { edits: Edits::new(text), at };
        walk.visit_file(&tree);
        let (text, pieces) = walk.edits.finish();
        fs::write(path, text).unwrap();
        written.insert(file, pieces);
    }
    fs::write(map, serde_json::to_string(&written).unwrap()).unwrap();
}
