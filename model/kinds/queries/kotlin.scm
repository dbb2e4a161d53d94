(function_declaration (function_body "{") @body) @function
(function_declaration (function_body "=" . (_) @body)) @function
(annotation) @annotation

(statements (_) @statement)
(class_body (property_declaration) @statement)
(source_file (property_declaration) @statement)

(if_expression) @if
(for_statement) @for
[(while_statement) (do_while_statement)] @while
(try_expression) @try
(when_expression) @switch
[(line_comment) (multiline_comment)] @comment
