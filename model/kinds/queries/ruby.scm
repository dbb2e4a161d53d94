(method body: (body_statement) @body) @function
(singleton_method body: (body_statement) @body) @function

(program (_) @statement)
(body_statement (_) @statement)
(block_body (_) @statement)
(then (_) @statement)
(do (_) @statement)
(else (_) @statement)
(ensure (_) @statement)
(begin (_) @statement)
[(rescue) (else) (ensure) (heredoc_body)] @clause

[(if) (unless)] @if
(for) @for
[(while) (until)] @while
(begin (rescue)) @try
[(case) (case_match)] @switch
(comment) @comment
