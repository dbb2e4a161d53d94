(function_definition body: (compound_statement) @body) @function

[
  (expression_statement)
  (declaration)
  (return_statement)
  (break_statement)
  (continue_statement)
  (goto_statement)
  (field_declaration)
] @statement

(if_statement) @if
(for_statement) @for
[(while_statement) (do_statement)] @while
(switch_statement) @switch
(comment) @comment
