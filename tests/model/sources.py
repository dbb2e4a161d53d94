"""Small files of several languages: line ends of both kinds, characters of several bytes."""

SOURCES = {
    "Python": 'import os\n\n\ndef f(x):\n    """Größe."""\n    if x % 5 == 0:\n        return [x]\n',
    "Java": "class A {\n  int f(int x) { return x + 1; }\r\n  // ende\n}\n",
    "JavaScript": "const f = (x) => {\n  for (const y of x) { g(y, '→') }\n}",
    "C": "#include <stdio.h>\nint main(void) {\n\treturn 0;\n}\n",
    "Go": "package a\n\nfunc F(x int) int {\n\tif x > 0 {\n\t\treturn x\n\t}\n\treturn 0\n}\n",
}
