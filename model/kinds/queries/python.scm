(function_definition body: (block) @body) @function
(decorated_definition definition: (function_definition body: (block) @body)) @function
(decorator) @annotation
(module (string) @docstring)
(block (string) @docstring)

(module (_) @statement)
(block (_) @statement)
(module [(import_statement) (import_from_statement) (future_import_statement)] @clause)

(if_statement) @if
(for_statement) @for
(while_statement) @while
(try_statement) @try
(match_statement) @switch
(comment) @comment
