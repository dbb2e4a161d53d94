(method_declaration body: (block) @body) @function
(constructor_declaration body: (constructor_body) @body) @function
(compact_constructor_declaration body: (block) @body) @function
[(annotation) (marker_annotation)] @annotation

[
  (expression_statement)
  (local_variable_declaration)
  (return_statement)
  (throw_statement)
  (break_statement)
  (continue_statement)
  (yield_statement)
  (assert_statement)
  (explicit_constructor_invocation)
  (field_declaration)
] @statement

(if_statement) @if
[(for_statement) (enhanced_for_statement)] @for
[(while_statement) (do_statement)] @while
[(try_statement) (try_with_resources_statement)] @try
(switch_expression) @switch
[(line_comment) (block_comment)] @comment
