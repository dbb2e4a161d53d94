(function_declaration name: (identifier) @definition.function)
(function_declaration name: (dot_index_expression field: (identifier) @definition.function))
(function_declaration name: (method_index_expression method: (identifier) @definition.method))
(assignment_statement
  (variable_list name: [(identifier) @definition.function
                        (dot_index_expression field: (identifier) @definition.function)])
  (expression_list value: (function_definition)))

((function_call name: (identifier) @_require arguments: (arguments . (string) @import))
  (#any-of? @_require "require" "dofile" "loadfile"))

(function_call name: (identifier) @use)
(function_call name: (dot_index_expression field: (identifier) @use.member))
(function_call name: (method_index_expression method: (identifier) @use.member))
