(function_declaration body: (statement_block) @body) @function
(generator_function_declaration body: (statement_block) @body) @function
(export_statement declaration: (function_declaration body: (statement_block) @body)) @function
(method_definition body: (statement_block) @body) @function
(lexical_declaration
  (variable_declarator
    value: [
      (arrow_function body: (statement_block) @body)
      (function_expression body: (statement_block) @body)
    ])) @function
(export_statement
  declaration: (lexical_declaration
    (variable_declarator
      value: [
        (arrow_function body: (statement_block) @body)
        (function_expression body: (statement_block) @body)
      ]))) @function
(variable_declaration
  (variable_declarator
    value: [
      (arrow_function body: (statement_block) @body)
      (function_expression body: (statement_block) @body)
    ])) @function
(assignment_expression
  right: [
    (arrow_function body: (statement_block) @body)
    (function_expression body: (statement_block) @body)
  ]) @function
(pair
  value: [
    (arrow_function body: (statement_block) @body)
    (function_expression body: (statement_block) @body)
  ]) @function
(arrow_function body: (statement_block) @body)
(function_expression body: (statement_block) @body)
(decorator) @annotation

[
  (expression_statement)
  (lexical_declaration)
  (variable_declaration)
  (return_statement)
  (throw_statement)
  (break_statement)
  (continue_statement)
  (public_field_definition)
] @statement

(if_statement) @if
[(for_statement) (for_in_statement)] @for
[(while_statement) (do_statement)] @while
(try_statement) @try
(switch_statement) @switch
(comment) @comment
