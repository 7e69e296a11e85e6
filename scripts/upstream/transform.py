# SPDX-License-Identifier: GPL-2.0
"""What becomes of a source of this project in the kernel's tree.

Mechanical: paths, `use` declarations, names of C helpers. Nothing here knows a
patch; the names that change beside their crate are in the file `names`.
"""

import re

WIDTH = 80      # of C
COLUMNS = 100   # of Rust


class Names:
    """The table `names`: Rust paths and C helpers that are called otherwise there."""

    def __init__(self, text):
        self.paths = {}
        self.helpers = {}
        for line in text.splitlines():
            words = line.split('#')[0].split()
            if not words:
                continue
            kind, ours, theirs = words
            {'path': self.paths, 'helper': self.helpers}[kind][ours] = theirs

    def path(self, path):
        """The path in the kernel crate of what has `path` in ours; both without the crate."""
        parts = path.split('::')
        for n in range(len(parts), 0, -1):
            head = '::'.join(parts[:n])
            if head in self.paths:
                return '::'.join([self.paths[head]] + parts[n:])
        return path

    def helper(self, name):
        """The kernel's name of `ext_name`, without a prefix."""
        return self.helpers.get(name, name)


# --- use declarations ---------------------------------------------------------

def leaves(tree, prefix=''):
    """The paths that a use tree names."""
    tree = re.sub(r'//[^\n]*', '', tree).strip()
    brace = tree.find('{')
    if brace < 0:
        path = prefix + tree
        return [path[:-len('::self')] if path.endswith('::self') else path]
    head, body = tree[:brace], tree[brace + 1:tree.rindex('}')]
    found, depth, start = [], 0, 0
    for i, c in enumerate(body + ','):
        depth += (c == '{') - (c == '}')
        if c == ',' and depth == 0:
            if body[start:i].strip():
                found += leaves(body[start:i], prefix + head)
            start = i + 1
    return found


def tree_of(paths):
    root = {}
    for path in paths:
        node = root
        for part in path.split('::'):
            node = node.setdefault(part, {})
        node[''] = {}
    return root


def render(name, node, indent):
    """A use tree in the kernel's style: one name a line, kept so by a comment."""
    kids = [k for k in node if k]
    if not kids:
        return name
    if len(kids) == 1 and '' not in node:
        return name + '::' + render(kids[0], node[kids[0]], indent)
    pad = '    ' * (indent + 1)
    lines = (['self'] if '' in node else [])
    lines += [render(k, node[k], indent + 1) for k in sorted(kids, key=order)]
    text = ''.join(f'{pad}{line},\n' for line in lines)
    return name + '::{\n' + text[:-1] + ' //\n' + '    ' * indent + '}'


def order(name):
    """Roughly rustfmt's: modules and functions, then types, then constants."""
    bare = name.split(' ')[0]
    kind = 0 if bare[0].islower() else 2 if bare.isupper() and len(bare) > 1 else 1
    return kind, name


def declare(paths):
    root = tree_of(dict.fromkeys(paths))
    rank = {'super': 0, 'crate': 1, 'core': 2}
    return ''.join(f'use {render(name, root[name], 0)};\n'
                   for name in sorted(root, key=lambda n: (rank.get(n, 3), n)))


USE = re.compile(r'^((?:#\[[^\n]*\]\n)*)(pub(?:\([a-z]+\))? )?use ([^;]*);\n', re.M)


EXAMPLE_USE = re.compile(r'^( *//[/!] (?:# )?)use (kernel_ext::[^;]*);\n', re.M)


class Source:
    """A Rust source with a place: `module` is its path in our crate, '' for the root's;
    `crate` is what it is part of there, 'kernel' or a driver."""

    def __init__(self, names, module, crate, module_there):
        self.names, self.module, self.crate = names, module, crate
        self.module_there = module_there

    def map_use(self, path):
        ours = self.crate == 'kernel'
        alias = ''
        if ' as ' in path:
            path, name = re.split(r'\s+as\s+', path)
            alias = ' as ' + name
        first, _, rest = path.partition('::')
        if first == 'kernel_ext':
            path = ('crate' if ours else 'kernel') + '::' + self.names.path(rest)
        elif first == 'kernel' and ours:
            path = 'crate::' + rest
        elif first == 'crate' and ours:
            path = 'crate::' + self.names.path(rest)
        elif first in ('super', 'self') and ours:
            path = self.map_relative(path)
        return path + alias

    def map_relative(self, path):
        """super::X, where X may be called otherwise or be elsewhere."""
        parts = path.split('::')
        module, there, n = self.module.split('::'), self.module_there.split('::'), 0
        while parts[n] in ('super', 'self'):
            if parts[n] == 'super':
                module, there = module[:-1], there[:-1]
            n += 1
        if not module or parts[n:] == ['*']:
            return path
        absolute = self.names.path('::'.join(module + parts[n:])).split('::')
        if absolute[:len(there)] == there:
            return '::'.join(parts[:n] + absolute[len(there):])
        return '::'.join(['crate'] + absolute)

    def convert_example(self, match):
        """A use declaration in the documentation: there, this crate is `kernel`."""
        lead, tree = match[1], match[2]
        tree = re.sub(r'^' + re.escape(lead.rstrip()) + ' ?', '', tree, flags=re.M)
        paths = ['kernel::' + self.names.path(p.partition('::')[2]) for p in leaves(tree)]
        return ''.join(lead + line + '\n' for line in declare(paths).splitlines())

    def convert(self, text):
        ours = self.crate == 'kernel'
        plain = []
        first = None

        def one(match):
            nonlocal first
            attributes, public, tree = match.groups()
            paths = [self.map_use(p) for p in leaves(tree)]
            if attributes or public:
                head = attributes + (public or '')
                return ''.join(head + line for line in split_uses(declare(paths)))
            plain.extend(paths)
            if first is None:
                first = True
                return '\0'
            return ''

        text = USE.sub(one, text)
        text = text.replace('\0', declare(plain))

        # Paths in code and documentation.
        path = r'((?:[A-Za-z_]\w*::)*[A-Za-z_]\w*)(!?)'

        def qualified(crate):
            # Macros are at the root, whatever they are called.
            return lambda m: crate + '::' + (m[1] if m[2] else self.names.path(m[1])) + m[2]

        text = EXAMPLE_USE.sub(self.convert_example, text)
        text = re.sub(r'\bkernel_ext::' + path, qualified('kernel'), text)
        text = re.sub(r'\bkernel_ext\b', 'kernel', text)
        if ours:
            text = re.sub(r'\$crate::' + path, qualified('$crate'), text)
            text = re.sub(r'(?<=\()crate::' + path, qualified('crate'), text)
        text = re.sub(r'\bbindings::ext_(\w+)',
                      lambda m: 'bindings::' + self.names.helper(m.group(1)), text)
        text = re.sub(r'\bbindings::EXT_(?=[A-Z])', 'bindings::', text)
        text = re.sub(r'kunit_tests\(kernel_ext_', 'kunit_tests(rust_', text)
        text = re.sub(r'\(NVME_RS_FAULTS\)', '(CONFIG_NVME_RS_FAULTS)', text)
        text = text.replace('`NVME_RS_FAULTS`', '`CONFIG_NVME_RS_FAULTS`')
        return fill(text)


def fill(text):
    """Break comments that are longer than a line may be; rustfmt leaves them."""
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        match = re.match(r'( *//[/!]? )(.*)', lines[i])
        if match and len(lines[i]) > COLUMNS:
            lead, cut = match[1], lines[i].rfind(' ', 0, COLUMNS + 1)
            rest = lines[i][cut + 1:]
            lines[i] = lines[i][:cut]
            below = lines[i + 1] if i + 1 < len(lines) else ''
            if below.startswith(lead) and re.match(r'[\w`(]', below[len(lead):]):
                lines[i + 1] = lead + rest + ' ' + below[len(lead):]
            else:
                lines.insert(i + 1, lead + rest)
        i += 1
    return '\n'.join(lines) + '\n'


def split_uses(text):
    return re.findall(r'use [^;]*;\n', text)


# --- heads of folders that the kernel has already --------------------------------

def head_of(text, name):
    """What a folder's head says of its module `name`: (mod line, its public uses)."""
    mod = re.search(rf'^((?:#\[[^\n]*\]\n)*(?:pub )?mod {name};)$', text, re.M)
    uses = []
    for match in USE.finditer(text):
        _, public, tree = match.groups()
        if not public:
            continue
        paths = [p for p in leaves(tree) if p.startswith(f'self::{name}::')]
        if paths:
            uses.append(public + declare(paths))
    return (mod.group(1) if mod else None), uses


def item(text, name):
    """The free function or the macro `name` with its documentation."""
    match = re.search(rf'^(?:(?:///|#\[)[^\n]*\n)*'
                      rf'(?:(?:pub(?:\([a-z]+\))? )?(?:const )?(?:unsafe )?fn {name}\b.*?^}}\n|'
                      rf'macro_rules! {name} .*?^}}\npub\(crate\) use {name};\n)',
                      text, re.M | re.S)
    return match and match.group(0)


def with_head(text, body):
    """A source of which only `body` is taken: its first lines, and the imports needed."""
    head = text[:re.search(r'^use ', text, re.M).start()]
    paths = [p for m in USE.finditer(text) for p in leaves(m[3])]
    # Not of what the body itself has.
    needed = [p for p in paths if '::' in p and re.search(rf'\b{p.rpartition("::")[2]}\b', body)]
    return head + declare(needed) + '\n' + body


def method(text, name):
    match = re.search(rf'^(?:    (?:///|#\[)[^\n]*\n)*    pub (?:const )?(?:unsafe )?'
                      rf'fn {name}\b.*?^    }}\n', text, re.M | re.S)
    return match and match.group(0)


def tests(text):
    match = re.search(r'^#\[kunit_tests.*', text, re.M | re.S)
    return match and match.group(0)


# --- helpers in C -------------------------------------------------------------------

def c_comment(header, name):
    """The comment above the declaration in helpers.h, if it is not a header's name."""
    match = re.search(rf'(/\*(?:(?!\*/).)*?\*/)\n[^/;]*?\b{name}\(', header, re.S)
    if not match or re.fullmatch(r'/\* [\w/., -]+\.h \*/', match.group(1)):
        return ''
    return match.group(1) + '\n'


def c_function(code, header, name, names):
    """A helper as rust/helpers has it."""
    match = re.search(rf'^(?:__rust_helper )?(?P<ret>[a-z][\w ]*?(?: \**|\s))(?P<name>{name})\((?P<args>[^{{]*)\)\n'
                      r'(?P<body>\{\n.*?^\}\n)', code, re.M | re.S)
    if not match:
        return None
    ret, body = match['ret'], match['body']
    new = name
    if name.startswith('ext_'):
        new = 'rust_helper_' + names.helper(name[4:])
        ret = '__rust_helper ' + ret
    args, depth, parts = re.sub(r'\s+', ' ', match['args']), 0, ['']
    for c in args:
        depth += (c == '(') - (c == ')')
        if c == ',' and depth == 0:
            parts.append('')
        else:
            parts[-1] += c
    parts = [p.strip() for p in parts]
    lines = wrap(ret + new + '(', parts)
    if max(width(line) for line in lines) > WIDTH:
        lines = [ret.rstrip()] + wrap(new + '(', parts)
    comment = c_comment(header, name) if name.startswith('ext_') else ''
    return comment + '\n'.join(lines) + '\n' + body


def width(line):
    return len(line.expandtabs(8))


def wrap(head, parts):
    column = len(head)
    pad = '\t' * (column // 8) + ' ' * (column % 8)
    lines, line = [], head
    for i, part in enumerate(parts):
        end = ',' if i + 1 < len(parts) else ')'
        if line.strip() and not line.endswith('(') and width(line + ' ' + part + end) > WIDTH:
            lines.append(line)
            line = pad + part + end
        else:
            line += ('' if line.endswith('(') else ' ') + part + end
    return lines + [line]
