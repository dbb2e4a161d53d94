(function_declaration body: (block) @body) @function
(assignment_statement
  (expression_list value: (function_definition body: (block) @body))) @function

(chunk (_) @statement)
(block (_) @statement)

(if_statement) @if
(for_statement) @for
[(while_statement) (repeat_statement)] @while
(comment) @comment
