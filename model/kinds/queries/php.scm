(function_definition body: (compound_statement) @body) @function
(method_declaration body: (compound_statement) @body) @function
(attribute_list) @annotation

[
  (expression_statement)
  (echo_statement)
  (return_statement)
  (break_statement)
  (continue_statement)
  (unset_statement)
  (global_declaration)
  (property_declaration)
  (const_declaration)
] @statement

(if_statement) @if
[(for_statement) (foreach_statement)] @for
[(while_statement) (do_statement)] @while
(try_statement) @try
(switch_statement) @switch
(comment) @comment
