"""Rewrite Python code so that only comments, layout, docstrings and the wording of messages differ."""

import ast

EXCEPTIONS = ("UserError", "RuntimeError", "TypeError", "ValueError")


class _Rewording(ast.NodeTransformer):
    def __init__(self):
        self.in_message = False

    def _body(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body[0] = ast.parse("'''In other words, and more of them.'''").body[0]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _body

    def visit_Call(self, node):
        outer = self.in_message
        called = ast.unparse(node.func)
        self.in_message = outer or called in (*EXCEPTIONS, "progress.update", "print")
        self.generic_visit(node)
        self.in_message = outer
        return node

    def visit_Constant(self, node):
        if self.in_message and isinstance(node.value, str) and node.value:
            return ast.copy_location(ast.Constant(f"reworded: {node.value}"), node)
        return node


def reworded(code):
    """The code (text) with other comments, another layout, other docstrings and other messages."""
    return "# another comment\n" + ast.unparse(ast.fix_missing_locations(_Rewording().visit(ast.parse(code))))


def reword_tree(folder):
    """Reword every Python file below `folder`, in place."""
    for path in folder.rglob("*.py"):
        path.write_text(reworded(path.read_text(encoding="utf-8")), encoding="utf-8")
