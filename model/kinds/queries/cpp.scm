(function_definition body: (compound_statement) @body) @function
(template_declaration (function_definition body: (compound_statement) @body)) @function

[
  (expression_statement)
  (declaration)
  (return_statement)
  (throw_statement)
  (break_statement)
  (continue_statement)
  (goto_statement)
  (co_return_statement)
  (field_declaration)
] @statement

(if_statement) @if
[(for_statement) (for_range_loop)] @for
[(while_statement) (do_statement)] @while
(try_statement) @try
(switch_statement) @switch
(comment) @comment
