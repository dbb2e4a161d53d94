(function_declaration body: (block) @body) @function
(method_declaration body: (block) @body) @function
(func_literal body: (block) @body)

(statement_list (_) @statement)
(field_declaration) @statement
(source_file [(var_declaration) (const_declaration)] @statement)

(if_statement) @if
[(for_statement (for_clause)) (for_statement (range_clause))] @for
[(for_statement . (_expression)) (for_statement . (block))] @while
[(expression_switch_statement) (type_switch_statement) (select_statement)] @switch
(comment) @comment
