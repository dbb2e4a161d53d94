(function_item body: (block) @body) @function
(attribute_item) @annotation

(block (_) @statement)
[(const_item) (static_item) (field_declaration)] @statement

(if_expression) @if
(for_expression) @for
[(while_expression) (loop_expression)] @while
(match_expression) @switch
[(line_comment) (block_comment)] @comment
