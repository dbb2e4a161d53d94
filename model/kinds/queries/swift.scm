(function_declaration body: (function_body) @body) @function
(init_declaration body: (function_body) @body) @function
(attribute) @annotation

(statements (_) @statement)
(class_body (property_declaration) @statement)

[(if_statement) (guard_statement)] @if
(for_statement) @for
[(while_statement) (repeat_while_statement)] @while
(do_statement (catch_block)) @try
(switch_statement) @switch
[(comment) (multiline_comment)] @comment
