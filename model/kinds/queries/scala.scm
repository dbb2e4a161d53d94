(function_definition body: (_) @body) @function
(annotation) @annotation

(block (_) @statement)
(indented_block (_) @statement)
(template_body [(val_definition) (var_definition)] @statement)

(if_expression) @if
(for_expression) @for
[(while_expression) (do_while_expression)] @while
(try_expression) @try
(match_expression) @switch
[(comment) (block_comment)] @comment
