(function_definition declarator: (function_declarator
  declarator: [(identifier) (field_identifier)] @definition.function))
(function_definition declarator: (function_declarator
  declarator: (qualified_identifier name: (identifier) @definition.function)))
(function_definition declarator: (_ (function_declarator
  declarator: [(identifier) (field_identifier)] @definition.function)))
(declaration declarator: (function_declarator declarator: (identifier) @definition.declaration))
(class_specifier name: (type_identifier) @definition.class body: (_))
(struct_specifier name: (type_identifier) @definition.class body: (_))
(union_specifier name: (type_identifier) @definition.class body: (_))
(enum_specifier name: (type_identifier) @definition.enum body: (_))
(type_definition declarator: (type_identifier) @definition.type)
(alias_declaration name: (type_identifier) @definition.type)
(preproc_function_def name: (identifier) @definition.macro)

(preproc_include path: [(string_literal) (system_lib_string)] @import)

(call_expression function: (identifier) @use)
(call_expression function: (qualified_identifier name: (identifier) @use))
(call_expression function: (template_function name: (identifier) @use))
(call_expression function: (field_expression field: (field_identifier) @use.member))
(type_identifier) @use
