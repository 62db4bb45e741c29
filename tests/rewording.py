"""Rewrite Python code so that only comments, layout, docstrings and the wording of messages differ."""

import ast

SPEAKERS = ("UserError", "RuntimeError", "TypeError", "ValueError", "progress.update", "print")


class _Rewording(ast.NodeTransformer):
    def with_body(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body[0] = ast.parse("'''In other words, and more of them.'''").body[0]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = with_body

    def visit_Call(self, node):
        self.generic_visit(node)
        if ast.unparse(node.func) in SPEAKERS:
            node.args = [reworded_text(argument) for argument in node.args]
        return node


def reworded_text(node):
    """A different text for a literal; any other argument of a message is unchanged."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ast.Constant(f"reworded: {node.value}")
    if isinstance(node, ast.JoinedStr):
        return ast.JoinedStr([ast.Constant("reworded: "), *node.values])
    return node


def reworded(code):
    """The code (text) with other comments, another layout, other docstrings and other messages."""
    return "# another comment\n" + ast.unparse(ast.fix_missing_locations(_Rewording().visit(ast.parse(code))))


def reword_tree(folder):
    """Reword every Python file below `folder`, in place."""
    for path in folder.rglob("*.py"):
        path.write_text(reworded(path.read_text(encoding="utf-8")), encoding="utf-8")
