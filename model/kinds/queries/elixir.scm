(call
  target: (identifier) @_name
  (do_block) @body
  (#any-of? @_name "def" "defp" "defmacro" "defmacrop")) @function
(call
  target: (identifier) @_name
  (arguments (keywords . (pair key: (keyword) @_key value: (_) @body) .))
  (#any-of? @_name "def" "defp" "defmacro" "defmacrop")
  (#match? @_key "^do:")) @function
(unary_operator
  operator: "@"
  operand: (call target: (identifier) @_name)
  (#any-of? @_name "doc" "spec" "impl" "deprecated")) @annotation

(source (_) @statement)
(do_block (_) @statement)
(else_block (_) @statement)
(after_block (_) @statement)
(body (_) @statement)
(call
  target: (identifier) @_name
  (#any-of? @_name "alias" "import" "require" "use")) @clause
[(stab_clause) (else_block) (rescue_block) (catch_block) (after_block)] @clause

(call target: (identifier) @_name (#any-of? @_name "if" "unless")) @if
(call target: (identifier) @_name (#eq? @_name "for")) @for
(call target: (identifier) @_name (do_block) (#eq? @_name "try")) @try
(call target: (identifier) @_name (do_block) (#any-of? @_name "case" "cond" "receive")) @switch
(comment) @comment
(unary_operator
  operator: "@"
  operand: (call target: (identifier) @_name (arguments [(string) (sigil)]))
  (#eq? @_name "doc")) @comment
