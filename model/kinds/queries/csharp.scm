(method_declaration body: (block) @body) @function
(constructor_declaration body: (block) @body) @function
(local_function_statement body: (block) @body) @function
(attribute_list) @annotation

[
  (expression_statement)
  (local_declaration_statement)
  (return_statement)
  (throw_statement)
  (break_statement)
  (continue_statement)
  (yield_statement)
  (field_declaration)
] @statement

(if_statement) @if
[(for_statement) (foreach_statement)] @for
[(while_statement) (do_statement)] @while
(try_statement) @try
(switch_statement) @switch
(comment) @comment
